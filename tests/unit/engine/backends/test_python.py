"""Python models are served as Triton serves them, each with what is its own."""

from __future__ import annotations

import gc
import json
import os
import py_compile
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from kits.backend_kit import BackendKit
from support.works import Asked, work

from engine.backend import Executor, Placement, SelfCompleting, find
from engine.backends.python.backend import Python
from engine.backends.python.settings import Settings
from engine.errors import (
    Cancelled,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unsupported,
)
from engine.modelconfig.schema import DynamicBatching, ModelConfig, ModelInput, ModelOutput
from engine.types import Array, DType, InferRequest, Tensor

# In the test's own process, which is quick; test_python_processes.py does without it.
BACKEND = Python(Settings(in_process=True))

IDENTITY = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            answers = []
            for request in requests:
                given = pb_utils.get_input_tensor_by_name(request, "X")
                answers.append(
                    pb_utils.InferenceResponse([pb_utils.Tensor("Y", given.as_numpy())])
                )
            return answers
"""


class TestPython(BackendKit):
    backend = find("python")

    def make(self, directory: Path) -> ModelConfig:
        write(directory, IDENTITY)
        return self.identity("python")


def write(directory: Path, text: str, name: str = "model.py") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


Load = Callable[..., Executor]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load ``TritonPythonModel`` out of the body of its ``execute``, or a whole file."""

    def make(text: str, name: str = "m", *, whole: bool = False, **changes: Any) -> Executor:
        if not whole:
            body = dedent(text).strip().replace("\n", "\n        ")
            text = (
                "import numpy as np\nimport triton_python_backend_utils as pb_utils\n\n"
                "class TritonPythonModel:\n    def execute(self, requests):\n        " + body + "\n"
            )
        directory = tmp_path / name / "1"
        write(directory, text)
        config = replace(BackendKit.identity("python"), name=name, **changes)
        loaded = BACKEND.load(directory, config, Placement(instance=f"{name}_0_0"))
        assert isinstance(loaded, Executor)
        return loaded

    return make


def x(rows: int = 1, value: float = 1.0, **fields: Any) -> Asked:
    return work({"X": np.full((rows, 4), value, np.float32)}, **fields)


def outputs(asked: Asked) -> dict[str, Array]:
    (answer,) = asked.answers
    assert isinstance(answer, tuple), answer
    return {tensor.name: tensor.array for tensor in answer}


def run(model: Executor, *asked: Asked) -> None:
    """Execute as the engine does: what is raised answers those without an answer."""
    try:
        model.execute([one.work for one in asked])
    except EngineError as error:
        for one in asked:
            if not one.kept.over.is_set():
                one.kept.send(error, final=True)


def error(asked: Asked) -> EngineError:
    answer = asked.answers[-1]
    assert isinstance(answer, EngineError), answer
    return answer


@pytest.mark.triton("15.13")
def test_each_request_of_a_batch_keeps_its_own_batch_dimension(load: Load) -> None:
    model = load("""
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array(
                [[len(requests), *request.inputs()[0].shape()]]))])
            for request in requests
        ]
    """)
    first, second = x(2), x(3)
    run(model, first, second)
    assert outputs(first)["Y"].tolist() == [[2, 2, 4]]
    assert outputs(second)["Y"].tolist() == [[2, 3, 4]]


@pytest.mark.triton("15.1", "15.2")
def test_initialize_is_told_everything_as_texts_and_finalize_is_called(
    load: Load, tmp_path: Path
) -> None:
    model = load(
        """
        import json
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def initialize(self, args):
                self.args = args
                self.config = json.loads(args["model_config"])

            def execute(self, requests):
                told = {**self.args, "model_config": sorted(self.config)[:1]}
                output = pb_utils.get_output_config_by_name(self.config, "Y")
                told["type"] = pb_utils.triton_string_to_numpy(output["data_type"]).__name__
                told["decoupled"] = pb_utils.using_decoupled_model_transaction_policy(self.config)
                return [pb_utils.InferenceResponse(parameters={"told": json.dumps(told)})
                        for _ in requests]

            def finalize(self):
                open(self.args["model_repository"] + "/finalized", "w").close()
        """,
        whole=True,
    )
    asked = x()
    run(model, asked)
    told = json.loads(str(asked.kept.parameters[0]["told"]))
    assert told == {
        "model_config": ["backend"],
        "model_instance_kind": "CPU",
        "model_instance_name": "m_0_0",
        "model_instance_device_id": "0",
        "model_repository": str(tmp_path / "m"),
        "model_version": "1",
        "model_name": "m",
        "type": "float32",
        "decoupled": False,
    }
    assert not (tmp_path / "m/finalized").exists()
    model.close()
    assert (tmp_path / "m/finalized").exists()


@pytest.mark.triton("15.4")
def test_a_request_tells_all_that_the_client_said(load: Load) -> None:
    model = load("""
        import json
        request, = requests
        told = [
            request.request_id(), request.correlation_id(), request.requested_output_names(),
            request.flags(), request.timeout(), json.loads(request.parameters()),
            request.is_cancelled(), [one.name() for one in request.inputs()], request.model_name(),
        ]
        return [pb_utils.InferenceResponse(parameters={"told": json.dumps(told)})]
    """)
    asked = x(
        id="seven",
        sequence_id="s",
        sequence_start=True,
        sequence_end=True,
        timeout_us=5,
        parameters={"own": 1, "text": "t"},
    )
    asked.kept.cancelled = True
    plain = x()
    run(model, asked)
    run(model, plain)
    told = [json.loads(str(one.kept.parameters[0]["told"])) for one in (asked, plain)]
    assert told == [
        ["seven", "s", ["Y"], 3, 5, {"own": 1, "text": "t"}, True, ["X"], "m"],
        ["", 0, ["Y"], 0, 0, {}, False, ["X"], "m"],
    ]


@pytest.mark.triton("15.3")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "Expected a list in the execute return, found type 'NoneType'"),
        ("return ()", "Expected a list in the execute return, found type 'tuple'"),
        (
            "return []",
            (
                "Number of InferenceResponse objects do not match the number of InferenceRequest"
                " objects. InferenceRequest(s) size is:2, and InferenceResponse(s) size is:0"
            ),
        ),
        ("return [1, 2]", "Expected an 'InferenceResponse' object in the execute function return"),
        ("return [None, None]", "Expected an 'InferenceResponse' object"),
        ("exit(3)", "SystemExit: 3"),
        ("return [pb_utils.InferenceResponse([3])] * 2", "output_tensors holds a int"),
        (
            "requests[0].get_response_sender().send(flags=1)",
            "Non-decoupled model cannot send complete final before sending a response.",
        ),
        (
            "pb_utils.MetricFamily('a', 'b', 1)",
            "kind is a int, not one of pb_utils.MetricFamily.COUNTER",
        ),
        ("requests[0].set_release_flags(2)", "rescheduling a request"),
    ],
)
def test_what_breaks_the_rules_of_execute_fails_the_requests_in_tritons_words(
    load: Load, body: str, said: str
) -> None:
    asked = x(), x()
    run(load(body), *asked)
    for one in asked:
        assert isinstance(error(one), Internal)
        assert error(one).message.startswith(
            "Failed to process the request(s) for model 'm', message: "
        )
        assert said in error(one).message


@pytest.mark.triton("15.3")
def test_an_exception_is_told_with_its_type_its_text_and_its_place(
    load: Load, tmp_path: Path
) -> None:
    model = load("""
        def inner():
            raise ValueError("no good")
        inner()
    """)
    asked = x()
    run(model, asked)
    file = tmp_path / "m/1/model.py"
    assert error(asked).message == (
        "Failed to process the request(s) for model 'm', message: ValueError: no good\n\n"
        f"At:\n  {file}(7): inner\n  {file}(8): execute\n"
    )


@pytest.mark.triton("15.7")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARG", InvalidArgument),
        ("NOT_FOUND", NotFound),
        ("UNSUPPORTED", Unsupported),
        ("CANCELLED", Cancelled),
        ("INTERNAL", Internal),
        ("UNKNOWN", EngineError),
    ],
)
def test_a_triton_error_answers_one_request_with_its_code(
    load: Load, code: str, kind: type[EngineError]
) -> None:
    model = load(f"""
        {code} = pb_utils.TritonError.{code}
        bad = pb_utils.InferenceResponse([], pb_utils.TritonError("bad", {code}))
        good = pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.zeros(1))])
        assert bad.has_error() and not good.has_error() and bad.error().message() == "bad"
        return [bad, good]
    """)
    bad, good = x(), x()
    run(model, bad, good)
    assert type(error(bad)) is kind
    assert error(bad).message == "bad"
    assert outputs(good)["Y"].shape == (1,)


@pytest.mark.triton("15.8")
def test_a_model_that_is_not_decoupled_may_answer_through_its_sender_once(load: Load) -> None:
    model = load("""
        first, second = requests
        sender = first.get_response_sender()
        response = pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.ones(1))])
        sender.send(response)
        try:
            sender.send(response)
        except pb_utils.TritonModelException as error:
            said = str(error)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        try:
            sender.send(response, 1)
        except pb_utils.TritonModelException as error:
            said += str(error)
        return [None, pb_utils.InferenceResponse(parameters={"said": said})]
    """)
    first, second = x(), x()
    run(model, first, second)
    assert len(first.answers) == 2
    said = str(second.kept.parameters[0]["said"])
    assert "Non-decoupled model cannot send more than one response." in said
    assert "Unable to send response. Response sender has been closed." in said


@pytest.mark.triton("15.8")
def test_a_decoupled_model_answers_when_it_likes_and_any_thread_may(load: Load) -> None:
    model = load(
        """
        import threading
        def answer(sender):
            for value in (1, 2):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.full(1, value))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        for request in requests:
            threading.Thread(target=answer, args=(request.get_response_sender(),)).start()
        """,
        decoupled=True,
    )
    asked = x(), x()
    run(model, *asked)
    for one in asked:
        assert one.kept.over.wait(10)
        first, second, end = one.answers
        assert isinstance(first, tuple)
        assert isinstance(second, tuple)
        assert (first[0].array.item(), second[0].array.item()) == (1, 2)
        assert end is None


@pytest.mark.triton("15.8")
def test_a_decoupled_request_that_is_let_go_without_its_end_fails(load: Load) -> None:
    model = load("pass", decoupled=True)
    asked = x()
    run(model, asked)
    gc.collect()
    assert asked.kept.over.wait(10)
    assert "let go of the response sender" in error(asked).message


def test_a_decoupled_model_that_returns_something_or_raises_fails_its_requests(load: Load) -> None:
    for body, said in (
        ("return []", "is using the decoupled mode and the execute function must return None"),
        ("raise KeyError('k')", "KeyError: 'k'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ):
        asked = x()
        run(load(body, decoupled=True), asked)
        assert said in error(asked).message


@pytest.mark.triton("15.5")
def test_texts_are_bytes_both_ways_and_inputs_cannot_be_written(load: Load) -> None:
    model = load("""
        given = requests[0].inputs()[0]
        array = given.as_numpy()
        assert given.triton_dtype() == 13 and given.is_cpu() and given.shape() == [1, 2]
        assert all(type(one) is bytes for one in array.ravel())
        try:
            array[0, 0] = b"x"
        except ValueError as error:
            said = str(error)
        packed = pb_utils.serialize_byte_tensor(array)
        assert packed == b"\\x01\\x00\\x00\\x00a\\x03\\x00\\x00\\x00\\xc3\\xa4b"
        assert pb_utils.deserialize_bytes_tensor(packed).tolist() == array.ravel().tolist()
        return [pb_utils.InferenceResponse([
            pb_utils.Tensor("Y", np.array([["ä", b"b"]], dtype=np.object_)),
            pb_utils.Tensor("Z", np.array(["cd"])),
        ], parameters={"said": said})]
    """)
    asked = work({"X": np.array([[b"a", "äb".encode()]], np.object_)})
    run(model, asked)
    found = outputs(asked)
    assert found["Y"].tolist() == [["ä".encode(), b"b"]]
    assert found["Z"].tolist() == [b"cd"]
    assert "read-only" in str(asked.kept.parameters[0]["said"])


@pytest.mark.triton("15.5")
def test_tensors_leave_and_come_by_dlpack_bf16_by_nothing_else(load: Load) -> None:
    model = load("""
        given = requests[0].inputs()[0]
        try:
            given.as_numpy()
        except pb_utils.TritonModelException as error:
            said = str(error)
        again = pb_utils.Tensor.from_dlpack("Y", given)
        assert (again.triton_dtype(), given.triton_dtype()) == (14, 14)
        plain = pb_utils.Tensor("Z", np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2])
        array = pb_utils.Tensor.from_dlpack("Z", plain.to_dlpack()).as_numpy()
        assert np.from_dlpack(plain).tolist() == array.tolist() == [[0, 2], [3, 5]]
        del plain
        theirs = pb_utils.Tensor.from_dlpack("W", np.arange(3)[::2])
        return [pb_utils.InferenceResponse(
            [again, pb_utils.Tensor("Z", array), theirs], parameters={"said": said}
        )]
    """)
    bits = np.array([[0x3F80, 0x4000]], np.uint16)
    asked = Asked(InferRequest(inputs=(Tensor("X", DType.BF16, bits),)))
    run(model, asked)
    gc.collect()
    (answer,) = asked.answers
    assert isinstance(answer, tuple)
    assert [tensor.dtype for tensor in answer] == [DType.BF16, DType.FP32, DType.INT64]
    assert answer[0].array.tolist() == bits.tolist()
    assert answer[1].array.tolist() == [[0, 2], [3, 5]]
    assert answer[2].array.tolist() == [0, 2]
    assert "BF16" in str(asked.kept.parameters[0]["said"])


@pytest.mark.triton("15.6", "15.10")
def test_types_are_known_by_all_their_names(load: Load) -> None:
    model = load("""
        import json
        assert pb_utils.triton_to_numpy_type(11) is np.float32
        assert pb_utils.numpy_to_triton_type(np.float32) == 11
        assert pb_utils.numpy_to_triton_type(np.object_) == 13
        assert pb_utils.triton_string_to_numpy("TYPE_STRING") is np.object_
        assert pb_utils.triton_string_to_numpy("TYPE_UINT8") is np.uint8
        try:
            pb_utils.Tensor("Y", np.zeros(1, np.complex64))
        except pb_utils.TritonModelException as error:
            said = str(error)
        pb_utils.Logger.log("a", pb_utils.Logger.VERBOSE)
        pb_utils.Logger.log_info("b")
        pb_utils.Logger.log_warn("c")
        tensor = pb_utils.Tensor("Y", np.zeros(1))
        response = pb_utils.InferenceResponse([tensor], None, {"a": said})
        assert response.output_tensors() == [tensor] and not response.has_error()
        assert response.parameters() == json.dumps({"a": said})
        assert pb_utils.get_output_tensor_by_name(response, "Y").name() == "Y"
        assert pb_utils.get_output_tensor_by_name(response, "Z") is None
        return [response]
    """)
    asked = x()
    run(model, asked)
    outputs(asked)
    assert "complex64" in str(asked.kept.parameters[0]["a"])


@pytest.mark.triton("15.16")
def test_a_model_imports_from_its_folders_and_no_other_model_sees_it(
    load: Load, tmp_path: Path
) -> None:
    text = """
        import json
        import sister
        from parts import inner
        from parts.inner import NAME as again
        import parts.inner
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                import late
                sister.count += 1
                said = [sister.NAME, inner.NAME, again, parts.inner.NAME, late.NAME, sister.count]
                return [pb_utils.InferenceResponse(parameters={"said": json.dumps(said)})
                        for _ in requests]
    """
    for name in ("a", "b"):
        folder = tmp_path / name
        write(folder / "1", f"import json\nNAME = json.dumps('{name}')\ncount = 0", "sister.py")
        write(folder / "1", "from .deep import NAME", "parts/inner.py")
        write(folder / "1", "", "parts/__init__.py")
        write(folder / "1", "import sister\nNAME = 'deep ' + sister.NAME", "parts/deep.py")
        write(folder, f"NAME = 'late {name}'", "late.py")
        write(folder, "raise ImportError('the standard library comes first')", "json.py")
    before = set(sys.modules)
    models = [load(text, name, whole=True) for name in ("a", "b", "a")]
    said = []
    for model in models:
        asked = x()
        run(model, asked)
        said.append(json.loads(str(asked.kept.parameters[0]["said"])))
    assert said == [
        [f'"{name}"', *[f'deep "{name}"'] * 3, f"late {name}", 1] for name in ("a", "b", "a")
    ]
    with pytest.raises(ImportError):
        __import__("sister")
    for model in models:
        model.close()
    left = {name for name in set(sys.modules) - before if "parts" in name or "sister" in name}
    assert left == set()


CHANGED = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            return [pb_utils.InferenceResponse(parameters={"value": %d}) for _ in requests]
"""


def test_a_model_that_changed_within_a_second_runs_as_it_is_now(tmp_path: Path) -> None:
    said = []
    for value in (1, 2):
        file = write(tmp_path, CHANGED % value)
        os.utime(file, ns=(10**18, 10**18))
        if value == 1:
            py_compile.compile(str(file))
        model = BACKEND.load(tmp_path, BackendKit.identity("python"), Placement())
        assert isinstance(model, Executor)
        asked = x()
        run(model, asked)
        said.append(asked.kept.parameters[0]["value"])
    assert said == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Other: pass", "module 'model' has no attribute 'TritonPythonModel'"),
        ("class TritonPythonModel: pass", "has no method 'execute'"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def f(:", "SyntaxError"),
        ("exit(3)", "SystemExit: 3"),
        (
            (
                "class TritonPythonModel:\n"
                "    def execute(self, requests): return []\n"
                "    def initialize(self, args): raise ValueError('not today')"
            ),
            "ValueError: not today\n\nAt:\n",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(load: Load, text: str, said: str) -> None:
    with pytest.raises(Internal) as refused:
        load(text, whole=True)
    assert said in refused.value.message


AUTO = """
    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(auto_complete_model_config):
            config = auto_complete_model_config
            config.add_input({{"name": "X", "data_type": "TYPE_FP32", "dims": [4]}})
            config.add_output({{"name": "Y", "data_type": "TYPE_FP32", "dims": [4]}})
            config.set_max_batch_size(8)
            config.set_dynamic_batching()
            {more}
            return config

        def execute(self, requests):
            return []
"""


def complete(directory: Path, more: str = "", **given: Any) -> ModelConfig:
    assert isinstance(BACKEND, SelfCompleting)
    write(directory, AUTO.format(more=more or "pass"))
    return BACKEND.auto_complete(directory, ModelConfig(name="m", backend="python", **given))


@pytest.mark.triton("15.1")
def test_auto_complete_config_fills_what_the_file_leaves_open(tmp_path: Path) -> None:
    assert complete(tmp_path) == ModelConfig(
        name="m",
        backend="python",
        max_batch_size=8,
        input=(ModelInput(name="X", data_type=DType.FP32, dims=(4,)),),
        output=(ModelOutput(name="Y", data_type=DType.FP32, dims=(4,)),),
        dynamic_batching=DynamicBatching(),
    )
    decoupled = complete(tmp_path, 'config.set_model_transaction_policy({"decoupled": True})')
    assert decoupled.decoupled
    write(tmp_path, IDENTITY)
    assert isinstance(BACKEND, SelfCompleting)
    untouched = ModelConfig(name="m", backend="python")
    assert BACKEND.auto_complete(tmp_path, untouched) == untouched


@pytest.mark.triton("15.1")
@pytest.mark.parametrize(
    ("more", "given", "said"),
    [
        ("", {"max_batch_size": 16}, "configuration specified max_batch_size 16, but in auto-comp"),
        (
            "",
            {"input": (ModelInput(name="X", data_type=DType.FP32, dims=(3,)),)},
            "configuration expects dims [3] for input 'X'",
        ),
        ('config.add_input({"name": "Z"})', {}, "is missing 'data_type' property"),
        ('config.add_output({"shape": 1})', {}, "contains property other than"),
        (
            'config.set_model_transaction_policy({"decoupled": False})',
            {"decoupled": True},
            "trying to change decoupled property",
        ),
        ("return None", {}, "must return the configuration"),
        ('config.add_output({"name": "Q", "data_type": "TYPE_X", "dims": [1]})', {}, "TYPE_X"),
    ],
)
def test_auto_complete_config_that_contradicts_the_file_is_refused(
    tmp_path: Path, more: str, given: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        complete(tmp_path, more, **given)
    assert said in refused.value.message


ASYNC = """
    import asyncio
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def initialize(self, args):
            self.came = []
            self.all_came = asyncio.Event()

        async def execute(self, requests):
            self.came += requests
            if len(self.came) == %d:
                self.all_came.set()
            await self.all_came.wait()
            if requests[0].request_id() == "bad":
                raise ValueError("not this one")
            if requests[0].request_id() == "leaves":
                exit("for good")
            %s
"""
ANSWER = "return [pb_utils.InferenceResponse([]) for _ in requests]"
SEND = "[request.get_response_sender().send(flags=1) for request in requests]"


@pytest.mark.triton("15.15")
def test_an_async_execute_goes_on_beside_the_next_one(load: Load) -> None:
    plain = load(ASYNC % (3, ANSWER), whole=True)
    bad, leaves, asked = x(id="bad"), x(id="leaves"), x()
    for one in (bad, leaves, asked):
        run(plain, one)
    assert all(one.kept.over.wait(10) for one in (bad, leaves, asked))
    assert outputs(asked) == {}
    assert "SystemExit: for good" in error(leaves).message
    assert "ValueError: not this one" in error(bad).message
    plain.close()

    decoupled = load(ASYNC % (3, SEND), whole=True, decoupled=True)
    several = x(), x(id="bad"), x()
    for one in several:
        assert not one.kept.over.is_set()
        run(decoupled, one)
    assert all(one.kept.over.wait(10) for one in several)
    assert [one.answers for one in (several[0], several[2])] == [[None], [None]]
    assert "ValueError: not this one" in error(several[1]).message
    decoupled.close()


def test_an_environment_of_its_own_needs_a_process_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, IDENTITY)
    config = ModelConfig(name="m", parameters={"EXECUTION_ENV_PATH": "x.tar.gz"})
    with pytest.raises(Unsupported, match="EXECUTION_ENV_PATH"):
        BACKEND.inspect(tmp_path, config)


def test_a_model_in_one_thread_does_not_wait_for_another(load: Load) -> None:
    held = load(
        """
        import threading
        pb_utils.let_go = threading.Event()
        assert pb_utils.let_go.wait(10)
        return [pb_utils.InferenceResponse([]) for _ in requests]
    """,
        "held",
    )
    free = load("return [pb_utils.InferenceResponse([]) for _ in requests]", "free")
    slow, quick = x(), x()
    thread = threading.Thread(target=run, args=(held, slow))
    thread.start()
    run(free, quick)
    assert quick.kept.over.is_set()
    module = sys.modules["triton_python_backend_utils"]
    while not hasattr(module, "let_go"):
        threading.Event().wait(0.001)
    module.let_go.set()
    thread.join(10)
    assert slow.kept.over.is_set()
    del module.let_go
