"""Rows 1 and 3: the repository, and who loads what when, as clients of a real server see it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import within
from support.controlled import CLIENTS, ECHO, Controlled, X, controlled, write_echo
from support.oracle_clients import Asked
from tritonclient.utils import InferenceServerException

from engine.options import ModelControlMode

every_client = pytest.mark.parametrize("kind", CLIENTS)
NOT_EXPLICIT = "explicit model load / unload is not allowed if polling is enabled"
CODES = {"http": {400: "400", 404: "404", 500: "500", 503: "503"}, "grpc": {
    400: "StatusCode.INVALID_ARGUMENT", 404: "StatusCode.NOT_FOUND",
    500: "StatusCode.INTERNAL", 503: "StatusCode.UNAVAILABLE",
}}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """A server in explicit mode; every test has models of its own."""
    repository = tmp_path_factory.mktemp("models")
    with controlled(repository) as up:
        yield up


def told(status: int, kind: str, call: Any, *args: Any, **more: Any) -> str:
    """Let a client's call fail with the status that stands for this one; give the text."""
    with pytest.raises(InferenceServerException) as caught:
        call(*args, **more)
    assert caught.value.status() == CODES[kind.partition(".")[0]][status]
    return str(caught.value.message())


@pytest.mark.triton("3.1", "4.10", "5.9")
@pytest.mark.parametrize("mode", [ModelControlMode.NONE, ModelControlMode.POLL])
def test_without_explicit_control_all_is_loaded_and_nobody_may_load(
    tmp_path: Path, mode: ModelControlMode
) -> None:
    for name in ("one", "two"):
        write_echo(tmp_path, name)
    with controlled(tmp_path, mode) as up:
        for kind in CLIENTS:
            client = up.client(kind)
            assert client.does("is_model_ready", "one")
            assert client.does("is_model_ready", "two")
            for verb in ("load_model", "unload_model"):
                assert told(503, kind, client.does, verb, "one") == NOT_EXPLICIT
        for verb in ("load", "unload"):
            path = f"/v2/repository/models/one/{verb}"
            assert up.refused(path) == (503, NOT_EXPLICIT)


@pytest.mark.triton("3.3", "3.13")
def test_explicit_control_loads_what_the_flags_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_echo(tmp_path, name)
    for flags, ready in (((), ()), (("one",), ("one",)), (("*",), ("one", "two"))):
        with controlled(tmp_path, load_model=flags) as up:
            for name in ("one", "two"):
                line = up.index()[name, "1" if name in ready else ""]
                state = {"version": "1", "state": "READY"} if name in ready else {}
                assert line == {"name": name, **state}


@pytest.mark.triton("3.5", "4.10", "5.9")
@every_client
def test_a_load_is_done_when_it_answers_and_an_unload_takes_the_model_away(
    server: Controlled, kind: str
) -> None:
    name = f"loaded_{kind}"
    write_echo(server.repository, name)
    client = server.client(kind)
    client.does("load_model", name)
    assert client.does("is_model_ready", name)
    assert server.echoes(name, kind)
    client.does("unload_model", name)
    assert within(lambda: server.index()[name, "1"]["state"] == "UNAVAILABLE")
    assert server.index()[name, "1"]["reason"] == "unloaded"
    wanted = f"Request for unknown model: '{name}' has no available versions"
    assert wanted in told(404, kind, client.infer, Asked(name, {"INPUT0": X}))


@pytest.mark.triton("3.5", "3.11")
@pytest.mark.parametrize("body", [b"", b"{}", {"parameters": {}}])
def test_load_and_unload_answer_with_200_and_nothing(server: Controlled, body: object) -> None:
    write_echo(server.repository, "plain")
    for verb in ("load", "unload", "unload"):
        assert server.post(f"/v2/repository/models/plain/{verb}", body) == (200, b"")
    assert server.post("/v2/repository/models/stranger/unload") == (200, b"")
    flag = {"parameters": {"unload_dependents": True}}
    assert server.post("/v2/repository/models/plain/unload", flag) == (200, b"")


@pytest.mark.triton("3.6", "3.10")
def test_a_load_that_cannot_be_is_refused_with_tritons_status_and_text(server: Controlled) -> None:
    fails = 'parameters { key: "fail_load" value: { string_value: "out of luck" } }'
    write_echo(server.repository, "fails", fails)
    write_echo(server.repository, "empty", versions=())
    load = "/v2/repository/models/{}/load".format
    status, text = server.refused(load("nowhere"))
    assert status == 500
    assert text.startswith("failed to load 'nowhere', failed to poll from model repository")
    status, text = server.refused(load("fails"))
    assert status == 400
    said = "load failed for model 'fails': version 1 is at UNAVAILABLE state: Internal: "
    assert text.startswith(said)
    assert text.endswith("out of luck;\n")
    status, text = server.refused(load("empty"))
    assert status == 400
    assert "at least one version must be available under the version policy of model" in text
    for name in ("..%2Fx", "a%2Fb", "a..b"):
        status, text = server.refused(load(name))
        assert status == 400
        assert text.startswith("invalid model name '")
        assert text.endswith("', model name must not contain path traversal characters")
    status, text = server.refused(load("fails"), {"parameters": {"colour": "red"}})
    assert status == 500
    assert text.startswith("unexpected error on creating Triton parameter")
    body = {"parameters": {"config": "{"}}
    status, text = server.refused(load("fails"), body)
    assert status == 400
    assert "Invalid config override: " in text
    assert server.refused("/v2/repository/other/models/fails/load") == (
        501,
        "'repository_name' specification is not supported",
    )


@pytest.mark.triton("3.6", "5.9")
@every_client
def test_every_client_is_told_why_a_load_failed(server: Controlled, kind: str) -> None:
    name = f"fails_{kind}"
    fails = 'parameters { key: "fail_load" value: { string_value: "out of luck" } }'
    write_echo(server.repository, name, fails)
    load = server.client(kind).does
    assert "failed to poll from" in told(500, kind, load, "load_model", "nowhere")
    assert "out of luck" in told(400, kind, load, "load_model", name)
    if not kind.startswith("http"):  # where an empty name is no path
        wanted = "Model name cannot be empty. Please enter a valid name to deploy."
        assert told(400, kind, load, "load_model", "") == wanted
    assert server.index()[name, "1"]["state"] == "UNAVAILABLE"
    assert server.index()[name, "1"]["reason"].startswith("Internal: ")
    server.client(kind).does("unload_model", name)


@pytest.mark.triton("3.7")
@every_client
def test_a_configuration_sent_along_replaces_the_file_until_the_next_load(
    server: Controlled, kind: str
) -> None:
    name = f"overridden_{kind}"
    write_echo(server.repository, name, 'metric_tags { key: "a" value: "b" }')
    client = server.client(kind)

    def config() -> Any:
        found = client.plain("get_model_config", name)
        return found if kind.startswith("http") else found["config"]

    client.does("load_model", name)
    whole = config()
    assert int(whole["max_batch_size"]) == 4
    # What was read can be sent back: numbers of 64 bits as numbers, or as strings (gRPC's JSON).
    changed = {**whole, "max_batch_size": 8, "metric_tags": {}}
    client.does("load_model", name, config=json.dumps(changed))
    assert int(config()["max_batch_size"]) == 8
    assert not config().get("metric_tags"), "a replacement, not a merger"
    client.does("load_model", name)
    assert int(config()["max_batch_size"]) == 4


@pytest.mark.triton("3.8")
@every_client
def test_files_sent_along_make_the_model(server: Controlled, kind: str) -> None:
    name = f"sent_{kind}"
    client = server.client(kind)

    def versions() -> set[str]:
        return {version for one, version in server.index() if one == name}

    write_echo(server.repository, name)
    client.does("load_model", name)
    config = json.dumps({**json.loads(server.get(f"/v2/models/{name}/config")[1]), "name": name,
                         "max_batch_size": 2})  # fmt: skip
    client.does("load_model", name, config=config, files={"file:7/model.txt": b"weights"})
    assert within(lambda: versions() == {"7"})
    assert server.echoes(name, kind)
    missing = "Load parameter 'config' must be specified for model file override"
    files = {"file:1/model.txt": b""}
    with pytest.raises(InferenceServerException, match=missing):
        client.does("load_model", name, files=files)
    for path in ("../x", "/etc/x", "1/../../x"):
        with pytest.raises(InferenceServerException, match="must stay within model directory"):
            client.does("load_model", name, config=config, files={f"file:{path}": b""})
    assert server.echoes(name, kind)
    client.does("load_model", name)
    assert within(lambda: versions() == {"1"})


@pytest.mark.triton("3.8")
def test_over_http_a_file_is_base64_or_refused(server: Controlled) -> None:
    config = json.dumps({"backend": "synthetic", "input": [{"name": "INPUT0", "data_type":
              "TYPE_FP32", "dims": [4]}], "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32",
              "dims": ["4"]}]})  # fmt: skip
    load = "/v2/repository/models/by_http/load"
    file = base64.b64encode(b"weights").decode()
    body = {"parameters": {"config": config, "file:1/a": file}}
    assert server.post(load, body) == (200, b"")
    assert server.index()["by_http", "1"]["state"] == "READY"
    status, text = server.refused(load, {"parameters": {"config": config, "file:1/a": "%%"}})
    assert status == 400
    assert "base64" in text
    assert server.post("/v2/repository/models/by_http/unload") == (200, b"")


@pytest.mark.triton("3.9")
def test_a_reload_changes_what_has_changed_and_a_failed_one_nothing(server: Controlled) -> None:
    folder = write_echo(server.repository, "reloaded")
    load = "/v2/repository/models/reloaded/load"
    assert server.post(load)[0] == 200
    first = server.ports.on_loop(lambda: server.registry.get("reloaded"))
    assert server.post(load)[0] == 200
    assert server.ports.on_loop(lambda: server.registry.get("reloaded")) is first
    write_echo(server.repository, "reloaded", size=16)
    assert server.post(load)[0] == 200
    assert json.loads(server.get("/v2/models/reloaded/config")[1])["max_batch_size"] == 16
    (folder / "config.pbtxt").write_text("max_batch_size: many")
    status, text = server.refused(load)
    assert status == 400
    assert text.startswith("load failed for model 'reloaded': ")
    assert server.index()["reloaded", "1"] == {
        "name": "reloaded", "version": "1", "state": "READY",
    }  # fmt: skip
    assert server.echoes("reloaded")


@pytest.mark.triton("2b.9", "3.9")
@every_client
def test_a_change_of_instances_alone_loads_nothing_again(server: Controlled, kind: str) -> None:
    name = f"regrouped_{kind}"
    folder = write_echo(server.repository, name)
    client = server.client(kind)
    client.does("load_model", name)
    model = server.ports.on_loop(lambda: server.registry.get(name))
    group = "instance_group [ { kind: KIND_CPU count: %d } ]"
    config = (folder / "config.pbtxt").read_text()
    for number, count in enumerate((3, 1, 2), 1):
        (folder / "config.pbtxt").write_text(config.replace(group % 1, group % count))
        client.does("load_model", name)
        assert server.echoes(name, kind)
        told_config = json.loads(server.get(f"/v2/models/{name}/config")[1])
        assert [one["count"] for one in told_config["instance_group"]] == [count]
        assert server.ports.on_loop(lambda: server.registry.get(name)) is model
        stats = json.loads(server.get(f"/v2/models/{name}/stats")[1])["model_stats"]
        assert stats[0]["inference_stats"]["success"]["count"] == number
    # The same by a configuration sent along, and back to the file's by a load without one.
    told_config["instance_group"][0]["count"] = 4
    client.does("load_model", name, config=json.dumps(told_config))
    assert server.ports.on_loop(lambda: model.runtime["instances"]) == "4"
    client.does("load_model", name)
    assert server.ports.on_loop(lambda: server.registry.get(name)) is model
    assert server.ports.on_loop(lambda: model.runtime["instances"]) == "2"


@pytest.mark.triton("3.11")
def test_an_unload_answers_before_what_is_in_flight_and_that_is_answered(
    server: Controlled,
) -> None:
    slow = 'parameters { key: "latency_us" value: { string_value: "200000" } }'
    write_echo(server.repository, "busy", slow)
    server.client("http").does("load_model", "busy")
    model = server.ports.on_loop(lambda: server.registry.get("busy"))
    asked = Asked("busy", {"INPUT0": X})
    with ThreadPoolExecutor(2) as crew:
        asking = [crew.submit(server.client(kind).infer, asked) for kind in ("http", "grpc")]
        assert within(lambda: model.pending == 1), "one runs, the other waits"
        assert server.post("/v2/repository/models/busy/unload") == (200, b"")
        for answer in asking:
            assert np.array_equal(answer.result(10).as_numpy("OUTPUT0"), X)
    assert within(lambda: server.index()["busy", "1"].get("reason") == "unloaded")


@pytest.mark.triton("3.13", "4.10", "5.9")
@every_client
def test_the_index_lists_all_that_is_there_or_all_that_is_ready(
    server: Controlled, kind: str
) -> None:
    ready, never = f"ready_{kind}", f"never_{kind}"
    write_echo(server.repository, ready)
    write_echo(server.repository, never)
    client = server.client(kind)
    client.does("load_model", ready)
    listed = client.plain("get_model_repository_index")
    entries = listed if kind.startswith("http") else listed["models"]
    by_name = {one["name"]: one for one in entries}
    assert by_name[ready] == {"name": ready, "version": "1", "state": "READY"}
    assert by_name[never] == {"name": never}


@pytest.mark.triton("3.13", "4.10")
def test_the_index_takes_a_body_or_none_and_any_repositorys_name(server: Controlled) -> None:
    write_echo(server.repository, "listed")
    every = json.loads(server.post("/v2/repository/index")[1])
    assert json.loads(server.post("/v2/repository/index", b"{}")[1]) == every
    assert json.loads(server.post("/v2/repository/any/index", {"ready": False})[1]) == every
    ready = json.loads(server.post("/v2/repository/index", {"ready": True})[1])
    assert all(one["state"] == "READY" for one in ready)
    assert {"name": "listed"} in every
    assert {"name": "listed"} not in ready
    assert server.refused("/v2/repository/index", {"ready": "yes"}) == (
        400,
        "Invalid value for 'ready': expected a boolean",
    )


@pytest.mark.triton("1.1", "1.3", "1.4")
def test_versions_are_folders_with_whole_numbers_and_the_policy_picks_among_them(
    server: Controlled,
) -> None:
    versions = ("1", "2", "3", "04", "five", "warmup", "configs")
    for place, (policy, served) in enumerate((
        ("", {"3"}),
        ("version_policy { latest { num_versions: 2 } }", {"2", "3"}),
        ("version_policy { all { } }", {"1", "2", "3"}),
        ("version_policy { specific { versions: [ 1, 3, 9 ] } }", {"1", "3"}),
    )):  # fmt: skip
        name = f"versions_{place}"
        write_echo(server.repository, name, policy, versions=versions)
        server.client("http").does("load_model", name)
        lines = {key[1]: one["state"] for key, one in server.index().items() if key[0] == name}
        assert lines == dict.fromkeys(served, "READY")
        metadata = json.loads(server.get(f"/v2/models/{name}")[1])
        assert set(metadata["versions"]) == served
    write_echo(server.repository, "none", "version_policy { specific { versions: 9 } }")
    status, text = server.refused("/v2/repository/models/none/load")
    assert status == 400
    wanted = "at least one version must be available under the version policy of model 'none'"
    assert wanted in text
    folder = write_echo(server.repository, "misnamed")
    (folder / "config.pbtxt").write_text('name: "other"' + ECHO % 1)
    status, text = server.refused("/v2/repository/models/misnamed/load")
    assert status == 400
    assert (
        "unexpected directory name 'misnamed' for model 'other', directory name must equal model "
        "name" in text
    )
    for name in ("none", "misnamed"):
        server.post(f"/v2/repository/models/{name}/unload")


@pytest.mark.triton("1.2")
def test_a_model_in_two_repositories_is_served_from_neither(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for repository in (first, second):
        write_echo(repository, "twice")
    write_echo(second, "once")
    places = (first, second, second)
    with controlled(first, ModelControlMode.NONE, model_repository=places) as up:
        assert up.index()["once", "1"]["state"] == "READY"
        line = up.index()["twice", ""]
        assert line["state"] == "UNAVAILABLE"
        assert line["reason"].startswith("model appears in two or more repositories")
        assert up.get("/v2/models/twice/ready")[0] != 200


@pytest.mark.triton("1.5", "4.4", "5.1")
@every_client
def test_a_version_is_found_or_said_in_tritons_words_to_be_unknown(
    server: Controlled, kind: str
) -> None:
    name = f"found_{kind}"
    policy = "version_policy { specific { versions: [ 1, 3 ] } }"
    folder = write_echo(server.repository, name, policy, versions=("1", "3"))
    client = server.client(kind)
    client.does("load_model", name)
    asked = Asked(name, {"INPUT0": X})
    for version, number in (("", "3"), ("1", "1"), ("3", "3")):
        asked.more["model_version"] = version
        answer = client.infer(asked).get_response()
        assert (answer if isinstance(answer, dict) else {"model_version": answer.model_version})[
            "model_version"
        ] == number
    unknown = f"Request for unknown model: '{name}' version 2 is not found"
    asked.more["model_version"] = "2"
    assert unknown in told(404, kind, client.infer, asked)
    assert unknown in told(404, kind, client.does, "get_model_metadata", name, "2")
    shutil.rmtree(folder / "3")
    client.does("load_model", name)
    asked.more["model_version"] = ""
    assert client.does("is_model_ready", name)
    stranger = "Request for unknown model: 'stranger' is not found"
    assert stranger in told(404, kind, client.infer, Asked("stranger", {"INPUT0": X}))
    if kind.startswith("grpc"):
        assert stranger in told(404, kind, client.does, "is_model_ready", "stranger")
    client.does("unload_model", name)
    none = f"Request for unknown model: '{name}' has no available versions"
    assert none in told(404, kind, client.infer, Asked(name, {"INPUT0": X}))
    not_ready = f"Request for unknown model: '{name}' version 1 is not at ready state"
    asked.more["model_version"] = "1"
    assert not_ready in told(503, kind, client.infer, asked)
    assert not client.does("is_model_ready", name, "1")


@pytest.mark.triton("4.4")
def test_a_models_readiness_is_an_empty_200_or_an_error(server: Controlled) -> None:
    write_echo(server.repository, "asleep")
    server.client("http").does("load_model", "asleep")
    assert server.get("/v2/models/asleep/ready") == (200, b"")
    assert server.get("/v2/models/asleep/versions/1/ready") == (200, b"")
    server.client("http").does("unload_model", "asleep")
    status, body = server.get("/v2/models/asleep/versions/1/ready")
    assert (status, json.loads(body)) == (400, {"error": "Model version not ready"})
    status, body = server.get("/v2/models/stranger/ready")
    assert (status, json.loads(body)) == (
        404, {"error": "Request for unknown model: 'stranger' is not found"},
    )  # fmt: skip


@pytest.mark.triton("4.3", "3.4", "5.1")
@pytest.mark.parametrize("strict", [True, False])
def test_strict_readiness_asks_for_every_model_but_those_unloaded(
    tmp_path: Path, *, strict: bool
) -> None:
    write_echo(tmp_path, "good")
    write_echo(tmp_path, "bad", 'parameters { key: "fail_load" value: { string_value: "no" } }')
    both = ("good", "bad")
    with controlled(tmp_path, load_model=both, strict_readiness=strict) as up:
        assert up.echoes("good")
        assert up.get("/v2/health/ready") == ((400 if strict else 200), b"")
        for kind in CLIENTS:
            assert up.client(kind).does("is_server_ready") is not strict
        up.client("http").does("unload_model", "good")
        write_echo(tmp_path, "bad")
        up.client("http").does("load_model", "bad")
        assert within(lambda: up.get("/v2/health/ready") == (200, b""))


@pytest.mark.triton("3.2", "3.9")
def test_polling_follows_the_disk_and_keeps_what_works(tmp_path: Path) -> None:
    folder = write_echo(tmp_path, "changing")
    with controlled(tmp_path, ModelControlMode.POLL, repository_poll_secs=0.02) as up:

        def size() -> int:
            return int(json.loads(up.get("/v2/models/changing/config")[1])["max_batch_size"])

        write_echo(tmp_path, "coming")
        assert within(lambda: up.get("/v2/models/coming/ready")[0] == 200)
        write_echo(tmp_path, "changing", size=8)
        assert within(lambda: size() == 8)
        (folder / "config.pbtxt").write_text("max_batch")
        write_echo(tmp_path, "meanwhile")
        assert within(lambda: up.get("/v2/models/meanwhile/ready")[0] == 200)
        assert up.echoes("changing")
        write_echo(tmp_path, "changing", "version_policy { all { } }", versions=("2",), size=8)
        assert within(lambda: up.index().get(("changing", "2"), {}).get("state") == "READY")
        shutil.rmtree(tmp_path / "coming")
        assert within(lambda: up.get("/v2/models/coming/ready")[0] == 404)
        assert within(lambda: ("coming", "1") not in up.index())
