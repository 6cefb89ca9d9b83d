"""The CI files are what their CIs read, pin what they use, and call commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from analyzer.cli import app
from analyzer.gate import checks
from analyzer.gate.checks import Asked

ROOT = Path(__file__).parent.parent.parent
CI = ROOT / "configs" / "ci"
#: keys that GitHub and GitLab know, of those that stand here and some more
WORKFLOW = {"name", "on", "permissions", "concurrency", "jobs", "env", "defaults"}
JOB = {
    "if", "runs-on", "timeout-minutes", "permissions", "steps", "needs", "env", "strategy", "name",
}  # fmt: skip
STEP = {"id", "if", "name", "uses", "with", "run", "env", "shell", "continue-on-error"}
GITLAB = {
    "image", "stage", "timeout", "variables", "before_script", "resource_group", "extends", "rules",
    "script", "after_script", "allow_failure", "artifacts", "cache", "tags", "retry",
}  # fmt: skip


def read(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text())


def steps() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for job in read("github-actions.yml")["jobs"].values():
        yield from ((job, step) for step in job["steps"])


def commands() -> Iterator[str]:
    """Yield each of our commands, on one line."""
    scripts = [step["run"] for _, step in steps() if "run" in step]
    for name, job in read("gitlab-ci.yml").items():
        assert isinstance(job, dict), name
        for key in ("before_script", "script", "after_script"):
            scripts += job.get(key, [])
    text = "\n".join(scripts).replace("\\\n", " ")
    lines = map(str.strip, text.splitlines())
    yield from (line for line in lines if line.startswith("analyze "))


@pytest.mark.parametrize(
    ("name", "schema"),
    [("github-actions.yml", "github-workflows"), ("gitlab-ci.yml", "gitlab-ci")],
)
def test_a_file_passes_the_schema_that_its_ci_publishes(
    name: str, schema: str, tmp_path: Path
) -> None:
    pytest.importorskip("check_jsonschema", reason="the CIs' schemas come with check-jsonschema")
    broken = tmp_path / name
    broken.write_text((CI / name).read_text().replace("script:", "scrpt:").replace("runs-on", "on"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    codes = [
        subprocess.run([*command, str(file)], capture_output=True, check=False).returncode
        for file in (CI / name, broken)
    ]
    assert codes == [0, 1]


def test_the_workflow_has_the_structure_that_github_reads() -> None:
    workflow = read("github-actions.yml")
    # YAML 1.1 reads the key "on" as true.
    assert {"on" if key is True else key for key in workflow} <= WORKFLOW
    assert set(workflow[True]) <= {"pull_request", "push", "schedule", "workflow_dispatch"}
    for job in workflow["jobs"].values():
        assert set(job) <= JOB
        assert job["timeout-minutes"] <= 60
    for _, step in steps():
        assert set(step) <= STEP
        assert ("uses" in step) is not ("run" in step)


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it() -> None:
    text = (CI / "github-actions.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert len(used) >= 6
    for action, rest in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest), action


def test_nothing_from_outside_is_put_into_a_script() -> None:
    for _, step in steps():
        assert "${{" not in step.get("run", ""), "use env: whoever names a branch runs code"


def test_a_job_may_do_what_it_has_to_and_no_more() -> None:
    assert read("github-actions.yml")["permissions"] == {"contents": "read"}
    for job, step in steps():
        if "upload-sarif" in step.get("uses", ""):
            assert job["permissions"]["security-events"] == "write"
    writers = [job for job in read("github-actions.yml")["jobs"].values() if "permissions" in job]
    assert len(writers) == 1


def test_the_pipeline_has_the_structure_that_gitlab_reads() -> None:
    pipeline = read("gitlab-ci.yml")
    for name, job in pipeline.items():
        assert set(job) <= GITLAB, name
        if not name.startswith("."):
            assert job["extends"] in pipeline
            assert job["script"]
            assert job["allow_failure"]["exit_codes"] == [4, 75]


def test_every_command_is_one_of_ours_with_flags_that_it_has() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = list(commands())
    assert len(found) >= 6
    for line in found:
        words = shlex.split(line.split(" || ")[0])
        command = known[words[1]]
        flags = {name for each in command.params for name in each.opts}
        given = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
        assert given <= flags, line
        arguments = [re.sub(r"\$\w+", "main", word) for word in words[2:]]
        # What the parser takes: choices, numbers, and no word too many.
        command.make_context(words[1], arguments, resilient_parsing=False).close()


def test_their_outputs_are_where_later_steps_look_for_them() -> None:
    text = (CI / "github-actions.yml").read_text()
    assert "--sarif check/check.sarif" in text
    assert "sarif_file: check/check.sarif" in text
    job = read("gitlab-ci.yml")["performance"]
    assert f"--junit {job['artifacts']['reports']['junit']}" in " ".join(job["script"])


def test_the_file_of_checks_beside_them_means_something() -> None:
    closed, promise = checks.read(Asked(file=CI / "perf.yaml"))
    assert [gate.quantity.tag for gate in closed.gates] == [
        "perf_throughput", "perf_latency_p99", "cpu_used_ram",
    ]  # fmt: skip
    assert promise.promises
    assert not promise.compared


@pytest.mark.parametrize("command", ["check", "history"])
def test_their_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(args=[command, "--help"], prog_name="analyze")
    assert f"Example: analyze {command}" in " ".join(capsys.readouterr().out.split())
