"""Every manifest passes its schema, and holds what was measured."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import kserve_models, manifests
from support.deployments import config, journal_head, rows

from analyzer.deployment import kserve, kubernetes, yamltext
from analyzer.deployment.choice import choose
from analyzer.deployment.served import served
from analyzer.deployment.sizing import size
from analyzer.deployment.values import Export, Wish, object_name
from analyzer.errors import UsageError
from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Row
from engine.modelconfig import convert

GPUS = {"cores": 4, "gpus": [{"name": "G", "uuid": "a"}]}


def export(
    wish: Wish | None = None,
    *,
    made: tuple[Row, ...] | None = None,
    text: str = "",
    model: str = "m",
    machine: dict[str, Any] | None = None,
    flags: tuple[str, ...] = (),
) -> Export:
    wish, goal = wish or Wish(), parse_goal()
    choice = choose(rows() if made is None else made, goal)
    head = replace(journal_head({"server_flags": list(flags)}), model=model)
    how = served(choice, head, {model: convert.loads(text or config(2), model)}, wish)
    machine = {"cores": 4} if machine is None else machine
    return Export(
        choice=choice, served=how, size=size(choice, goal, how, wish, machine), wish=wish,
        run="20260102T030405Z", machine="4 cores of Some CPU",
    )  # fmt: skip


def bare() -> tuple[Row, ...]:
    return tuple(
        replace(row, launch_seconds=0.0,
                metrics={"perf_throughput": row.metrics["perf_throughput"]})
        for row in rows()
    )  # fmt: skip


#: kinds of exports that differ in their manifests
EXPORTS = {
    "usual": export(),
    "all": export(Wish(image="registry.example.com:5000/team/m:1", namespace="serving", replicas=3,
                       max_replicas=9, gpus=2), machine=GPUS),
    "gpu": export(text=config(2, kind="GPU"), machine=GPUS),
    "nothing measured": export(made=bare(), machine={}),
    "odd name": export(model="Fast_Model.v2+slow"),
    "slow start": export(made=tuple(replace(row, launch_seconds=200.0) for row in rows())),
    "flags": export(flags=("--exit-timeout-secs=60", "--host-policy=cpu,cpu-cores=0-3")),
}  # fmt: skip


@cache
def texts(name: str) -> dict[str, str]:
    made = EXPORTS[name]
    every = {**kubernetes.documents(made)}
    every |= {f"kserve/{file}": each for file, each in kserve.documents(made).items()}
    return {file: yamltext.dumps(document, "heading") for file, document in every.items()}


@cache
def loaded(name: str) -> dict[str, Any]:
    return {file: yaml.safe_load(text) for file, text in texts(name).items()}


@pytest.mark.parametrize("name", EXPORTS)
def test_every_manifest_passes_its_schema(name: str) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="Kubernetes' schemas come with kubernetes-validate"
    )
    every = loaded(name)
    for file in ("deployment.yaml", "service.yaml", "hpa.yaml", "pdb.yaml"):
        kubernetes_validate.validate(every[file], "1.30", strict=True)
    runtime = every["kserve/servingruntime.yaml"]
    kubernetes_validate.validate(
        manifests.pod_of(runtime["spec"]["containers"]), "1.30", strict=True
    )


@pytest.mark.parametrize("name", EXPORTS)
def test_what_is_not_kubernetes_own_passes_its_schema_too(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    every = loaded(name)
    for file, schema in (
        ("kserve/servingruntime.yaml", manifests.SERVING_RUNTIME),
        ("kserve/inferenceservice.yaml", manifests.INFERENCE_SERVICE),
        ("kserve/kustomization.yaml", manifests.KUSTOMIZATION),
        ("kustomization.yaml", manifests.KUSTOMIZATION),
        ("prometheus-adapter-values.yaml", manifests.ADAPTER_VALUES),
    ):
        jsonschema.validate(every[file], schema)


@pytest.mark.parametrize("name", EXPORTS)
def test_kserves_own_models_know_every_field(name: str) -> None:
    if kserve_models.folder() is None:
        pytest.skip("KServe's models come with the package kserve")
    for file, kind in (
        ("servingruntime", "V1alpha1ServingRuntime"),
        ("inferenceservice", "V1beta1InferenceService"),
    ):
        manifest = deepcopy(loaded(name)[f"kserve/{file}.yaml"])
        assert list(kserve_models.unknown(manifest, kind)) == []
        manifest["spec"]["nobodyKnowsThis"] = 1
        assert list(kserve_models.unknown(manifest, kind)) == [".spec.nobodyKnowsThis"]


def test_the_schemas_refuse_what_is_wrong() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    right = deepcopy(loaded("usual"))
    wrong = right["kserve/inferenceservice.yaml"]
    wrong["spec"]["predictor"]["scaleMetric"] = "in-flight"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, manifests.INFERENCE_SERVICE)
    wrong = right["kserve/servingruntime.yaml"]
    wrong["spec"]["supportedModelTypes"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, manifests.SERVING_RUNTIME)


def test_kubernetes_schemas_refuse_what_is_wrong() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    wrong = deepcopy(loaded("usual")["deployment.yaml"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_figures_stand_below_their_source() -> None:
    text = texts("usual")["deployment.yaml"]
    assert re.search(r"# 0\.80 cores at concurrency 4 \(measurement 4\).*\n +cpu: 900m\n", text)
    assert re.search(r"# .*MiB at most.*\n(?: +#.*\n)? +memory: \d+Mi\n", text)
    hpa = texts("usual")["hpa.yaml"]
    assert re.search(r"four fifths of it\n +averageValue: 2880m\n", hpa)


def test_objects_find_each_other() -> None:
    for name in EXPORTS:
        every = loaded(name)
        pod = every["deployment.yaml"]["spec"]["template"]
        container = pod["spec"]["containers"][0]
        chosen = every["service.yaml"]["spec"]["selector"]
        assert chosen.items() <= pod["metadata"]["labels"].items(), name
        assert every["deployment.yaml"]["spec"]["selector"]["matchLabels"] == chosen
        assert every["pdb.yaml"]["spec"]["selector"]["matchLabels"] == chosen
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": 8000, "grpc": 8001, "metrics": 8002}
        for port in every["service.yaml"]["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
        target = every["hpa.yaml"]["spec"]["scaleTargetRef"]
        assert target["name"] == every["deployment.yaml"]["metadata"]["name"]
        rules = every["prometheus-adapter-values.yaml"]["rules"]["custom"]
        offered = {rule["name"]["as"] for rule in rules}
        for metric in every["hpa.yaml"]["spec"]["metrics"]:
            if metric["type"] == "Pods":
                assert metric["pods"]["metric"]["name"] in offered
        runtime = every["kserve/servingruntime.yaml"]
        model = every["kserve/inferenceservice.yaml"]["spec"]["predictor"]["model"]
        assert model["runtime"] == runtime["metadata"]["name"]
        formats = runtime["spec"]["supportedModelFormats"]
        assert model["modelFormat"]["name"] in {each["name"] for each in formats}
        assert set(every["kustomization.yaml"]["resources"]) == {
            "deployment.yaml", "service.yaml", "hpa.yaml", "pdb.yaml"
        }  # fmt: skip


def test_a_pod_has_time_to_answer_what_is_in_flight() -> None:
    every = loaded("flags")
    pod = every["deployment.yaml"]["spec"]["template"]["spec"]
    sleeps = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= sleeps + 60
    assert (
        "--exit-timeout-secs=60"
        in every["kserve/servingruntime.yaml"]["spec"]["containers"][0]["args"]
    )
    assert pod["containers"][0]["resources"]["requests"]["cpu"] == "4"


def test_a_slow_start_is_waited_for() -> None:
    spec = loaded("slow start")["deployment.yaml"]["spec"]
    probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 5 * 200
    assert spec["progressDeadlineSeconds"] > 5 * 200


def test_gpus_are_asked_for_and_their_nodes_tolerated() -> None:
    pod = loaded("gpu")["deployment.yaml"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "tolerations" not in loaded("usual")["deployment.yaml"]["spec"]["template"]["spec"]


def test_without_figures_it_scales_by_the_processors() -> None:
    (metric,) = loaded("nothing measured")["hpa.yaml"]["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"


@pytest.mark.parametrize(
    ("model", "name"),
    [("ResNet_50", "resnet-50"), ("50m", "model-50m"), ("___", "model"), ("a" * 90, "a" * 40),
     ("fast+slow", "fast-slow")],
)  # fmt: skip
def test_names_are_ones_that_kubernetes_takes(model: str, name: str) -> None:
    assert object_name(model) == name


@pytest.mark.parametrize(
    "wish",
    [{"image": "Has Spaces"}, {"image": "registry/UPPER:1"}, {"namespace": "No_Such"},
     {"replicas": 4, "max_replicas": 3}],
)  # fmt: skip
def test_wishes_that_cannot_be_are_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        Wish(**wish)


def test_the_series_are_on_the_servers_page() -> None:
    """Their names are in the engine's own table: what it does not show cannot be scaled by."""
    families = (Path(__file__).parents[4] / "engine" / "telemetry" / "families.py").read_text()
    for rule in loaded("usual")["prometheus-adapter-values.yaml"]["rules"]["custom"]:
        series = rule["seriesQuery"].partition("{")[0]
        assert f'"{series}"' in families
