"""The image's files: each instruction is one that Docker reads, and has what was measured."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from support import dockerfile
from support.deployments import config, journal_head, rows
from support.dockerfile import Image, option, read, words

from analyzer.deployment import docker
from analyzer.deployment.choice import choose
from analyzer.deployment.served import served
from analyzer.deployment.sizing import size
from analyzer.deployment.values import Export, Wish
from analyzer.ranking.goal import parse_goal
from engine.modelconfig import convert

ORDER = [
    "FROM", "ARG", "ARG", "ENV", "RUN", "COPY", "COPY", "RUN", "COPY", "USER", "EXPOSE",
    "STOPSIGNAL", "HEALTHCHECK", "CMD",
]  # fmt: skip


def export(
    options: dict[str, object] | None = None, *, kind: str = "CPU", versions: str = ""
) -> Export:
    goal, wish = parse_goal(), Wish()
    choice, head = choose(rows(), goal), journal_head(options)
    if versions:
        head = replace(head, versions={**head.versions, versions: "1.22.0"})
    how = served(choice, head, {"m": convert.loads(config(2, kind=kind), "m")}, wish)
    return Export(
        choice=choice, served=how, size=size(choice, goal, how, wish, {"cores": 4}), wish=wish,
        run="r", machine="a machine",
    )  # fmt: skip


def steps(made: Export) -> dict[str, dockerfile.Step]:
    return {step.word: step for step in read(docker.dockerfile(made))}


def test_the_steps_come_in_an_order_that_works() -> None:
    assert [step.word for step in read(docker.dockerfile(export()))] == ORDER


def test_it_serves_as_the_measured_server_did_and_is_nobodys_root() -> None:
    made = steps(export({"server_flags": ["--rate-limit=execution_count"]}))
    assert words(made["CMD"]) == [
        "engine", "serve", "--model-repository=/models", "--http-port=8000", "--grpc-port=8001",
        "--metrics-port=8002", "--exit-timeout-secs=30", "--rate-limit=execution_count",
    ]  # fmt: skip
    assert made["USER"].rest == "10001:10001"
    assert made["EXPOSE"].rest == "8000 8001 8002"
    assert option(made["COPY"], "chown") == "10001:10001"
    assert made["FROM"].rest == "python:3.12-slim"
    assert option(made["HEALTHCHECK"], "start-period") == "100s"


def test_the_health_check_is_a_program() -> None:
    check = words(steps(export())["HEALTHCHECK"])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "HEALTHCHECK", "exec")


def test_a_gpu_has_the_build_for_it_and_the_runtimes_variables() -> None:
    text = docker.dockerfile(export(kind="GPU", versions="onnxruntime-gpu"))
    (swap,) = [step for step in read(text) if "uninstall" in step.rest]
    assert swap.rest.endswith('pip install "onnxruntime-gpu[cuda,cudnn]==1.22.0"')
    assert 'NVIDIA_DRIVER_CAPABILITIES="compute,utility"' in text
    assert "--gpus all" in text


def test_variables_reach_the_server_as_they_were(tmp_path: Path) -> None:
    odd = "a \"b\" $HOME \\ 'c'"
    made = steps(export({"environment": {"ODD": odd}}))
    image = Image(tmp_path, tmp_path)
    image.do(made["ENV"])
    assert image.environment["ODD"] == odd
    assert image.environment["PYTHONUNBUFFERED"] == "1"
    # A shell reads such quotes as Docker does.
    line = made["ENV"].rest.partition("ODD=")[2]
    said = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {line}"], capture_output=True, text=True, check=True
    )
    assert said.stdout == odd


def test_native_backends_are_copied_where_the_flag_says() -> None:
    made = export({"server_flags": ["--backend-directory=/opt/b"]})
    copies = [step.rest for step in read(docker.dockerfile(made)) if step.word == "COPY"]
    assert "backends/ /backends/" in copies
    assert "--backend-directory=/backends" in words(steps(made)["CMD"])
    assert "!backends\n" in docker.dockerignore(made.served)


def test_of_the_folder_only_what_the_image_is_made_of_is_sent(tmp_path: Path) -> None:
    for name in (
        "README.md",
        "models/m/1/w",
        "wheels/README.md",
        "kubernetes/x",
        "requirements.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".dockerignore").write_text(docker.dockerignore(export().served))
    assert dockerfile.in_context(tmp_path) == (
        "models/m/1/w", "requirements.txt", "wheels/README.md"
    )  # fmt: skip
