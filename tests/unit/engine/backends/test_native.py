"""Native models, in the server's process and in one of their own; the header and its twin."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from kits.backend_kit import BackendKit
from support.conditions import within
from support.native_library import INCLUDE, SOURCES, compiled
from support.works import Asked, work

from engine.backend import Executor, Placement, SelfChecking
from engine.backends.native import abi
from engine.backends.native.backend import Native
from engine.backends.native.carry import Form
from engine.backends.native.executor import Order, load
from engine.calling import Nobody, Told
from engine.child.executor import ChildExecutor
from engine.errors import (
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.modelconfig.schema import ModelConfig, ModelInput, ModelOutput
from engine.types import DType, InferRequest, InferResponse, Tensor

X = np.arange(4, dtype=np.float32).reshape(1, 4)
BOTH = pytest.mark.parametrize("isolation", ["none", "process"])
FIRST_TO_Y = """
#include <servetune_backend.hpp>
SERVETUNE_HOST
extern "C" servetune_error *servetune_instance_execute(
    void *, const servetune_request *const *requests, uint32_t count) {
  return servetune::guard([&] {
    for (uint32_t i = 0; i < count; ++i) {
      const servetune_tensor &x = servetune::input(*requests[i], "X");
      servetune::Response response(*requests[i]);
      void *y = response.like("Y", x);
      if (x.byte_size) std::memcpy(y, x.data, x.byte_size);
      response.send();
    }
  });
}
"""


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(FIRST_TO_Y, tmp_path_factory.mktemp("identity") / "libtriton_identity.so")


@pytest.fixture(scope="module")
def obliging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("obliging") / "libtriton_obliging.so"
    return compiled(SOURCES / "obliging.cpp", file)


class TestNative(BackendKit):
    backend = Native()

    @pytest.fixture(autouse=True)
    def _library(self, identity: Path) -> None:
        self.file = identity

    def make(self, directory: Path) -> ModelConfig:
        shutil.copy(self.file, directory / "libtriton_identity.so")
        return replace(
            self.identity("native"),
            default_model_filename="libtriton_identity.so",
            parameters={"isolation": "none"},
        )


@pytest.fixture
def version(tmp_path: Path, obliging: Path) -> Path:
    made = tmp_path / "model/1"
    made.mkdir(parents=True)
    (made / obliging.name).symlink_to(obliging)
    return made


def config(*, decoupled: bool = False, **parameters: str) -> ModelConfig:
    kinds = (("FP32", DType.FP32, (4,)), ("BYTES", DType.BYTES, (2,)))
    return ModelConfig(
        name="model",
        backend="obliging",
        max_batch_size=8,
        input=tuple(ModelInput(name=n, data_type=t, dims=d, optional=True) for n, t, d in kinds),
        output=tuple(ModelOutput(name=f"SAME_{n}", data_type=t, dims=d) for n, t, d in kinds),
        decoupled=decoupled,
        parameters=parameters,
    )


@pytest.fixture(scope="module", params=["none", "process"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, obliging: Path
) -> Iterator[Executor]:
    directory = tmp_path_factory.mktemp("loaded") / "1"
    directory.mkdir()
    (directory / obliging.name).symlink_to(obliging)
    made = Native().load(directory, config(isolation=request.param), Placement(instance="model_0"))
    yield made
    made.close()


def told(**parameters: Any) -> Asked:
    return work({"FP32": X}, parameters=parameters)


def outcome(executor: Executor, asked: Asked) -> Any:
    """Execute one request, and give its answer, or what was raised."""
    try:
        executor.execute([asked.work])
    except EngineError as error:
        return error
    (answer,) = asked.answers
    return answer


def values(answer: Any) -> Any:
    (tensor,) = answer
    return tensor.array


def test_the_header_is_strict_c_and_its_structs_are_those_of_ctypes(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc)")
    structs = {
        "tensor": abi.CTensor,
        "request": abi.CRequest,
        "call": abi.CCall,
        "answer": abi.CAnswer,
        "model_args": abi.CModelArgs,
        "instance_args": abi.CInstanceArgs,
        "host": abi.CHost,
    }
    lines, expected = [], []
    for name, kind in structs.items():
        lines.append(f'printf("%zu\\n", sizeof(servetune_{name}));')
        expected.append(ctypes.sizeof(kind))
        for field in kind._fields_:
            lines.append(f'printf("%zu\\n", offsetof(servetune_{name}, {field[0]}));')
            expected.append(getattr(kind, field[0]).offset)
    lines.append('printf("%u\\n", (unsigned)SERVETUNE_ABI_VERSION);')
    expected.append(abi.VERSION)
    head = "#include <servetune_backend.h>\n#include <stddef.h>\n#include <stdio.h>\n"
    source = tmp_path / "sizes.c"
    source.write_text(f"{head}int main(void) {{\n{chr(10).join(lines)}\nreturn 0;\n}}\n")
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}"]
    program = tmp_path / "sizes"
    subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True)
    said = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    assert [int(line) for line in said.split()] == expected


def test_texts_numbers_and_any_number_of_requests_go_there_and_back(loaded: Executor) -> None:
    texts = np.empty((1, 2), np.object_)
    texts[0] = [b"", "ä\0".encode()]
    large = np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32)
    asked = [work({"BYTES": texts}), work({"FP32": large}), work({"FP32": X}, ["SAME_FP32"])]
    loaded.execute([one.work for one in asked])
    for one, array in zip(asked, (texts, large, X), strict=True):
        (answer,) = one.answers
        np.testing.assert_array_equal(values(answer), array)


@pytest.mark.parametrize(
    ("word", "kind", "text"),
    [
        ("stranger", InvalidArgument, "unexpected inference output 'STRANGER' for model 'model'"),
        ("other_type", InvalidArgument, "came out as INT32, but the configuration says FP32"),
        ("no_type", InvalidArgument, "99 is no servetune_dtype"),
        ("negative", InvalidArgument, "negative dimension"),
        ("short", InvalidArgument, "12 bytes do not hold FP32 of shape [1, 4], which takes 16"),
        ("rank", InvalidArgument, "shape [4], but the configuration says [-1, 4]"),
        ("fail_all", Unavailable, "all of you"),
    ],
)
def test_what_a_library_gets_wrong_is_an_error_in_words(
    loaded: Executor, word: str, kind: type[EngineError], text: str
) -> None:
    error = outcome(loaded, told(**{word: 1}))
    assert type(error) is kind
    assert text in error.message


def test_bytes_that_are_no_texts_are_an_error_of_their_request(loaded: Executor) -> None:
    error = outcome(loaded, told(garbled=1))
    assert isinstance(error, Internal)
    assert "not 2 elements of BYTES" in error.message


@pytest.mark.parametrize("code", abi.ERRORS)
def test_every_code_of_an_error_arrives(loaded: Executor, code: int) -> None:
    error = outcome(loaded, told(fail=code))
    assert (type(error), error.message) == (abi.ERRORS[code], "as you wish")


def test_a_request_says_what_the_client_said(loaded: Executor) -> None:
    asked = work(
        {"FP32": X},
        id="one",
        sequence_id="s",
        sequence_start=True,
        sequence_end=True,
        priority=2,
        timeout_us=7,
        parameters={"parameters": True},
    )
    outcome(loaded, asked)
    assert asked.kept.parameters == [
        {"id": "one", "text": "s", "number": 0, "flags": 3, "priority": 2, "timeout": 7,
         "batch": True}
    ]  # fmt: skip


def library(tmp_path: Path, text: str) -> ModelConfig:
    compiled(text, tmp_path / "libtriton_bad.so")
    return replace(config(isolation="none"), backend="bad")


BARE = "#include <stdint.h>\n"


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("int nothing;", InvalidArgument, "does not export servetune_abi_version"),
        (
            BARE + 'extern "C" int TRITONBACKEND_ModelInstanceExecute() { return 0; }',
            Unsupported,
            "is a backend for Triton",
        ),
        (
            FIRST_TO_Y.replace("SERVETUNE_HOST", "")
            + 'extern "C" uint32_t servetune_abi_version(void) { return 2 << 16; }'
            + 'extern "C" servetune_error *servetune_initialize(const servetune_host *)'
            + "{ return nullptr; }",
            Unsupported,
            "built for version 2.0",
        ),
    ],
)
def test_a_library_that_is_none_of_ours_is_refused_in_words(
    tmp_path: Path, text: str, kind: type[EngineError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        Native().load(tmp_path, library(tmp_path, text), Placement())


def test_a_file_that_is_no_library_and_a_wrong_isolation_are_refused(tmp_path: Path) -> None:
    (tmp_path / "libtriton_obliging.so").write_bytes(b"no library")
    with pytest.raises(Internal, match="cannot be loaded"):
        Native().load(tmp_path, config(isolation="none"), Placement())
    with pytest.raises(InvalidArgument, match="expected process"):
        Native().inspect(tmp_path, config(isolation="jail"))


@BOTH
def test_a_model_that_refuses_to_load_says_why(version: Path, isolation: str) -> None:
    with pytest.raises(NotFound, match="no weights"):
        Native().load(version, config(isolation=isolation, mood="fail_load"), Placement())


def test_a_crash_while_loading_is_an_error(version: Path) -> None:
    with pytest.raises(Internal, match=r"SIGSEGV\) before it was ready"):
        Native().load(version, config(mood="crash_at_load"), Placement())


def test_instances_in_one_process_share_a_model_that_goes_with_the_last(version: Path) -> None:
    placed = [Native().load(version, config(isolation="none"), Placement()) for _ in range(2)]
    placed[0].close()
    assert not (version / "destroyed").exists()
    placed[1].close()
    assert (version / "destroyed").read_text() == "1\n"


@pytest.mark.parametrize(
    ("word", "cause"),
    [("crash", "was killed by signal 11 (SIGSEGV)"), ("leave", "exited with status 3")],
)
def test_a_process_that_dies_fails_its_requests_and_is_started_anew(
    version: Path, word: str, cause: str
) -> None:
    placed = Native().load(version, config(), Placement(instance="model_0"))
    assert isinstance(placed, SelfChecking)
    before = set(Path("/dev/shm").iterdir())
    asked = [told(), told(**{word: 1})]
    with pytest.raises(Internal):
        placed.execute([one.work for one in asked])
    assert values(asked[0].answers[0]).tolist() == X.tolist()
    (fault,) = asked[1].answers
    assert isinstance(fault, Internal)
    assert cause in fault.message
    assert within(placed.is_ready)
    assert values(outcome(placed, told())).tolist() == X.tolist()
    placed.close()
    # What tests beside this one have there goes as well.
    assert within(lambda: set(Path("/dev/shm").iterdir()) <= before)


def test_a_library_that_hangs_while_it_closes_is_killed(version: Path) -> None:
    native = Native(patience_s=0.2)
    placed = native.load(version, config(mood="hang_at_close"), Placement(instance="hanging_0"))
    assert isinstance(placed, ChildExecutor)
    pid = placed.pid
    assert pid
    placed.close()
    assert not psutil.pid_exists(pid)
    assert placed.pid is None


@BOTH
def test_a_library_tells_whether_it_is_ready(version: Path, isolation: str) -> None:
    placed = Native().load(version, config(isolation=isolation, m="never_ready"), Placement())
    assert isinstance(placed, SelfChecking)
    with pytest.raises(Unavailable, match="still warming up"):
        placed.is_ready()
    placed.close()


@BOTH
def test_a_configuration_is_completed_refused_or_left(version: Path, isolation: str) -> None:
    def complete(word: str) -> ModelConfig:
        given = replace(config(isolation=isolation, mood=word), input=(), output=())
        return Native().auto_complete(version, given)

    assert complete("complete").max_batch_size == 4
    with pytest.raises(InvalidArgument, match="do not want"):
        complete("refuse")
    with pytest.raises(InvalidArgument, match="is no JSON"):
        complete("nonsense")
    left = config(isolation=isolation)
    assert Native().auto_complete(version, left) == left


class Double(Nobody):
    """Another model: doubles what it is given."""

    def call(
        self, model: str, version: int, request: InferRequest, told: Told, *, decoupled: bool = True
    ) -> Callable[[], None]:
        if model != "double":
            return super().call(model, version, request, told, decoupled=decoupled)
        assert version == -1
        (given,) = request.inputs
        double = Tensor("SAME_FP32", DType.FP32, 2 * given.array)
        told(InferResponse(model=model, version="1", outputs=(double,)), True)
        return lambda: None


@pytest.mark.parametrize("decoupled", [False, True])
def test_other_models_are_asked_waiting_or_not(version: Path, *, decoupled: bool) -> None:
    known = {"SAME_FP32": (DType.FP32, (-1, 4))}
    text = json.dumps({"decoupled": decoupled})
    form = Form("model", decoupled, known)
    order = Order(version / "libtriton_obliging.so", version, text, form, Placement())
    placed = load(order, Double())
    for model in ("double", "nobody"):
        asked = told(ask=model)
        placed.execute([asked.work])
        assert within(asked.kept.over.is_set)
        (answer,) = asked.answers
        if model == "double":
            assert values(answer).tolist() == (2 * X).tolist()
        else:
            assert isinstance(answer, Unavailable)
            assert "asked in vain: model 'nobody' cannot be called" in answer.message
    placed.close()


@BOTH
def test_decoupled_answers_come_from_any_thread_and_cancelling_is_seen(
    version: Path, isolation: str
) -> None:
    placed = Native().load(version, config(decoupled=True, isolation=isolation), Placement())
    many, none, watching = told(), told(end=1), told(watch=1)
    placed.execute([one.work for one in (many, none, watching)])
    assert within(many.kept.over.is_set)
    assert [values(answer).tolist() for answer in many.answers] == [X.tolist()] * 3
    assert within(none.kept.over.is_set)
    assert none.answers == [None]
    assert not watching.answers
    watching.kept.cancel()
    assert within(watching.kept.over.is_set)
    placed.close()
