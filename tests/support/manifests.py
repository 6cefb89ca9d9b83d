"""The schemas that exported manifests are held to.

Kubernetes' own come with the package ``kubernetes-validate``. KServe publishes its definitions for
clusters only; what is needed of them is written down here, field by field after their documentation
(``serving.kserve.io``: ``ServingRuntimeSpec``, ``PredictorSpec``, ``ComponentExtensionSpec``), and
knows no other fields. Containers in them are Kubernetes' again, and are held to a Pod's schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
PROTOCOL: Schema = {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]}


def _object(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {
        "type": "object", "properties": fields, "required": list(required),
        "additionalProperties": False,
    }  # fmt: skip


METADATA = _object(
    ("name",),
    # A service's name and what KServe appends to it share a label of 63.
    name={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 40},
    namespace={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
    labels=TEXTS,
    annotations=TEXTS,
)


def _kind(version: str, kind: str, spec: Schema) -> Schema:
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": f"serving.kserve.io/{version}"}, kind={"const": kind},
        metadata=METADATA, spec=spec,
    )  # fmt: skip


SERVING_RUNTIME = _kind(
    "v1alpha1",
    "ServingRuntime",
    _object(
        ("containers",),
        supportedModelFormats={
            "type": "array",
            "items": _object(
                ("name",), name=TEXT, version=TEXT, autoSelect={"type": "boolean"},
                priority={"type": "integer", "minimum": 1},
            ),
        },
        multiModel={"type": "boolean"},
        disabled={"type": "boolean"},
        protocolVersions={"type": "array", "items": PROTOCOL},
        containers={"type": "array", "minItems": 1, "items": {"type": "object"}},
        volumes={"type": "array"},
        nodeSelector=TEXTS,
        tolerations={"type": "array"},
        labels=TEXTS,
        annotations=TEXTS,
        imagePullSecrets={"type": "array"},
    ),
)  # fmt: skip

INFERENCE_SERVICE = _kind(
    "v1beta1",
    "InferenceService",
    _object(
        ("predictor",),
        predictor=_object(
            ("model",),
            minReplicas={"type": "integer", "minimum": 0},
            maxReplicas={"type": "integer", "minimum": 1},
            scaleTarget={"type": "integer", "minimum": 1},
            scaleMetric={"enum": ["cpu", "memory", "concurrency", "rps"]},
            containerConcurrency={"type": "integer", "minimum": 0},
            timeout={"type": "integer", "minimum": 1},
            labels=TEXTS,
            annotations=TEXTS,
            model=_object(
                ("modelFormat",),
                modelFormat=_object(("name",), name=TEXT, version=TEXT),
                runtime=TEXT,
                runtimeVersion=TEXT,
                protocolVersion=PROTOCOL,
                storageUri=TEXT,
            ),
        ),
    ),
)

KUSTOMIZATION = _object(
    ("apiVersion", "kind", "resources"),
    apiVersion={"const": "kustomize.config.k8s.io/v1beta1"}, kind={"const": "Kustomization"},
    namespace=TEXT, resources={"type": "array", "minItems": 1, "items": TEXT},
)  # fmt: skip

#: the rules of prometheus-adapter's configuration, where its Helm chart has them
ADAPTER_VALUES = _object(
    ("rules",),
    rules=_object(
        ("custom",),
        custom={
            "type": "array",
            "minItems": 1,
            "items": _object(
                ("seriesQuery", "resources", "name", "metricsQuery"),
                seriesQuery=TEXT,
                resources=_object(
                    ("overrides",),
                    overrides={
                        "type": "object",
                        "additionalProperties": _object(
                            ("resource",), resource=TEXT, group={"type": "string"}
                        ),
                    },
                ),
                name=_object(("as",), **{"matches": TEXT, "as": TEXT}),
                metricsQuery={"type": "string", "pattern": "<<.Series>>.*<<.GroupBy>>"},
            ),
        },
    ),
)


def pod_of(containers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Make a Pod of containers, so that its schema judges them."""
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "judged"},
        "spec": {"containers": containers},
    }  # fmt: skip
