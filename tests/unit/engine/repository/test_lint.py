"""``engine check``: every problem of every model at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.model_folders import find, write_model

from engine.repository.lint import lint

_ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: 3 }
output { name: "out" data_type: TYPE_FP32 dims: 2 }
ensemble_scheduling {
  step {
    model_name: "%s"
    model_version: %d
    input_map { key: "%s" value: "in" }
    output_map { key: "y" value: "out" }
  }
}
"""


def check(*paths: Path, root: Path, cores: int = 4) -> list[str]:
    """Lint, and write each problem without the folder the test runs in."""
    return [
        f"{'warning: ' if problem.warning else ''}{problem}".replace(f"{root}/", "")
        for problem in lint(paths, find=find, cores=cores)
    ]


def test_a_repository_in_order_has_no_problems(tmp_path: Path) -> None:
    write_model(tmp_path, "completed", config=None)
    write_model(
        tmp_path,
        "whole",
        'name: "whole" max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 4, 8 ] }\n'
        'input { name: "x" data_type: TYPE_FP32 dims: 3 }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: 2 }\n'
        'parameters { key: "intra_op_thread_count" value { string_value: "2" } }',
    )
    assert check(tmp_path, root=tmp_path) == []
    assert check(tmp_path / "whole", root=tmp_path) == []


def test_every_model_is_checked_and_every_problem_told(tmp_path: Path) -> None:
    write_model(tmp_path, "a_typo", "max_batch_size: eight\ninstance_groups { }")
    write_model(tmp_path, "b_named", 'max_batch_size: 4\nname: "other"')
    write_model(tmp_path, "c_file", 'backend: "onnxruntime"', file="net.onnx")
    write_model(tmp_path, "d_versions", versions=("01", "v2"))
    write_model(tmp_path, "e_backend", '\nbackend: "onnx"')
    write_model(
        tmp_path, "f_sizes", "max_batch_size: 4\ndynamic_batching { preferred_batch_size: [ 8 ] }"
    )
    write_model(tmp_path, "g_shape", 'max_batch_size: 2\ninput { name: "z" data_type: TYPE_FP32 }')
    found = check(tmp_path, root=tmp_path)
    expected = [
        "a_typo/config.pbtxt:1:17: max_batch_size: expected a whole number, found eight",
        "a_typo/config.pbtxt:2:1: instance_groups: no such field in ModelConfig; did you mean",
        "b_named/config.pbtxt:2:1: unexpected directory name 'b_named' for model 'other'",
        "c_file/1/model.onnx: the model file is missing; the folder holds net.onnx; rename",
        "warning: d_versions/01: this folder is ignored; a version's name has no leading zeros",
        "warning: d_versions/v2: this folder is ignored; a version's name is a whole number",
        "d_versions/config.pbtxt: Invalid model name: Could not determine backend for model",
        "e_backend/config.pbtxt:2:1: no backend named 'onnx'; there are: onnxruntime",
        "f_sizes/config.pbtxt:2:44: dynamic batching preferred size must be <= max batch size",
        "g_shape/config.pbtxt:2:1: model input 'z' must specify 'dims' for g_shape; dims exclude",
        "g_shape/config.pbtxt:2:1: unable to load model 'g_shape': the model file needs input 'x'",
        "g_shape/config.pbtxt:2:9: model 'g_shape': unexpected inference input 'z', allowed inputs",
    ]
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


def test_mistakes_of_writing_do_not_hide_mistakes_of_meaning_elsewhere(tmp_path: Path) -> None:
    write_model(
        tmp_path,
        "m",
        "max_batch_size: 4\ndynamic_batching { preferred_batch_size: [ 8 ] }\n"
        "instance_group { kind: KIND_TPU }\ninput { dims: 1 data_type: TYPE_FP32 }",
    )
    found = check(tmp_path, root=tmp_path)
    assert [problem.split(": ")[0] for problem in found] == [
        "m/config.pbtxt:2:44",
        "m/config.pbtxt:3:24",
        "m/config.pbtxt:4:1",
    ]


def test_a_mistake_that_may_change_what_the_rest_means_stands_alone(tmp_path: Path) -> None:
    write_model(tmp_path, "m", "max_batch_siz: 8\ndynamic_batching { preferred_batch_size: [ 8 ] }")
    assert len(check(tmp_path, root=tmp_path)) == 1


def test_a_model_file_that_cannot_be_read_is_a_problem_of_its_folder(tmp_path: Path) -> None:
    write_model(tmp_path, "unreadable")
    assert check(tmp_path, root=tmp_path) == ["unreadable/1: not a model file"]


def test_what_has_no_effect_or_too_much_is_a_warning(tmp_path: Path) -> None:
    tensors = (
        'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] }\n'
    )
    write_model(tmp_path, "idle", tensors + "dynamic_batching { }")
    write_model(
        tmp_path,
        "threads",
        'instance_group { count: 3 kind: KIND_CPU }\nparameters { key: "intra_op_thread_count" '
        'value { string_value: "2" } }',
    )
    write_model(tmp_path, "instances", "instance_group { count: 9 }")
    idle, instances, threads = check(tmp_path, root=tmp_path)
    assert idle == (
        "warning: idle/config.pbtxt:3:1: dynamic_batching has no effect while max_batch_size is 0; "
        "set max_batch_size, or remove dynamic_batching"
    )
    assert instances.startswith(
        "warning: instances/config.pbtxt:1:1: 9 instances on the CPU, and this machine has 4 cores"
    )
    assert threads.startswith(
        "warning: threads/config.pbtxt:2:1: 3 instances of 2 threads each want 6 cores, and this "
        "machine has 4"
    )
    assert not any("threads" in problem for problem in check(tmp_path, root=tmp_path, cores=6))


@pytest.mark.parametrize(
    ("step", "version", "tensor", "expected"),
    [
        (
            "modell",
            -1,
            "x",
            (
                "8:5: ensemble e contains models that are not available or ambiguous: modell; "
                "did you mean 'model'?"
            ),
        ),
        ("model", 7, "x", "9:5: model 'model' has no version 7; there is 1; -1 means the newest"),
        ("model", -1, "xx", "10:5: model 'model' has no input 'xx'; did you mean 'x'?"),
        ("model", -1, "xx", "10:5: step 'model' of ensemble 'e' lacks input 'x'; add input_map"),
        (
            "model",
            -1,
            "x",
            (
                "3:1: ensemble e allows maximum batch size 8, but it contains model model which "
                "only allows maximum batch size to be 4; set it to 4"
            ),
        ),
    ],
)
def test_an_ensembles_steps_must_exist_with_their_tensors(
    tmp_path: Path, step: str, version: int, tensor: str, expected: str
) -> None:
    write_model(tmp_path, "model")
    write_model(tmp_path, "e", _ENSEMBLE % (step, version, tensor))
    found = check(tmp_path, root=tmp_path)
    assert any(problem.startswith(f"e/config.pbtxt:{expected}") for problem in found), found


def test_a_path_that_holds_nothing_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_model(tmp_path / "good", "m")
    found = check(tmp_path / "nowhere", tmp_path / "empty", tmp_path / "good", root=tmp_path)
    assert len(found) == 2
    assert found[0].startswith("nowhere: cannot read the model repository: No such file")
    assert found[1].startswith("empty: no models here; a repository holds a folder for each model")


def test_a_model_named_twice_is_checked_once(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "m", "max_batch_size: x")
    assert len(check(tmp_path, folder, root=tmp_path)) == 1


def test_a_text_that_is_no_text_is_told_with_its_file_and_once(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "model")
    (folder / "config.pbtxt").write_bytes(b"\xff")
    (found,) = check(tmp_path, root=tmp_path)
    assert found.startswith("model/config.pbtxt: not UTF-8 text")


def test_a_sequence_model_is_checked_like_any_other(tmp_path: Path) -> None:
    control = 'control_input { name: "S" control { kind: CONTROL_SEQUENCE_START %s } }'
    tensors = (
        'input { name: "x" data_type: TYPE_FP32 dims: 3 }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: 2 }\n'
    )
    text = tensors + "max_batch_size: 4\nsequence_batching {\n" + control + "\n}"
    write_model(tmp_path, "filled", text % "fp32_false_true: [ 0 ]")
    assert check(tmp_path, root=tmp_path) == [
        (
            "filled/config.pbtxt:5:17: model 'filled': unexpected inference input 'S', allowed "
            "inputs are: x"
        ),
        (
            "filled/config.pbtxt:5:66: sequence batching control 'fp32_false_true' must have "
            "exactly 2 entries for CONTROL_SEQUENCE_START for filled; the value of false, then of "
            "true"
        ),
    ]


def test_a_named_configuration_is_checked_in_the_place_of_the_usual_one(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "m", "max_batch_size: 4")
    (folder / "configs").mkdir()
    (folder / "configs" / "h100.pbtxt").write_text("max_batch: 4")
    assert check(tmp_path, root=tmp_path) == []
    (problem,) = lint([tmp_path], find=find, cores=4, config_name="h100")
    assert str(problem).startswith(f"{folder}/configs/h100.pbtxt:1:1: max_batch: no such field")


def test_a_batch_size_of_zero_that_does_not_stay_zero_is_a_warning(tmp_path: Path) -> None:
    write_model(tmp_path, "m", "# not to be batched\nmax_batch_size: 0")
    (told,) = check(tmp_path, root=tmp_path)
    assert told == (
        "warning: m/config.pbtxt:2:1: max_batch_size: 0 is filled in as 4, since inputs or outputs "
        "are left out and the model file of m can batch; write inputs and outputs to keep it 0"
    )


def test_files_that_a_configuration_names_must_be_there(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path,
        "m",
        'output { name: "y" data_type: TYPE_FP32 dims: 2 label_filename: "label.txt" }\n'
        'model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 '
        'input_data_file: "x.raw" } } }',
    )
    (folder / "labels.txt").write_text("cat")
    assert check(tmp_path, root=tmp_path) == [
        (
            "m/config.pbtxt:1:49: there is no file 'label.txt' in the folder of m; did you mean "
            "'labels.txt'?"
        ),
        "m/config.pbtxt:2:26: there is no file 'warmup/x.raw' in the folder of m; put it there",
    ]


def test_a_native_library_is_looked_for_where_a_server_would(tmp_path: Path) -> None:
    models, backends = tmp_path / "models", tmp_path / "backends"
    config = (
        'backend: "mine" runtime: "libmine.so"\n'
        'input { name: "x" data_type: TYPE_FP32 dims: 3 }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: 2 }'
    )
    write_model(models, "native", config)
    (backends / "mine").mkdir(parents=True)
    (problem,) = lint([models], backend_directory=backends)
    assert "no backend named 'mine'" in problem.what
    assert "mine/libmine.so" in problem.what
    (backends / "mine/libmine.so").touch()
    assert lint([models], backend_directory=backends) == ()
