"""The manifests for KServe: a ServingRuntime of this image, and the InferenceService of it. Pure.

The models are in the image, so no ``storageUri`` is needed. Scaling is Knative's, by requests in
flight, which needs neither Prometheus nor its adapter; so the mode is ``Serverless``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from analyzer.deployment.docker import command
from analyzer.deployment.kubernetes import Document, confined, metadata, resources
from analyzer.deployment.values import PORTS, Export
from analyzer.deployment.yamltext import Noted

#: the name and version of the format that the runtime says it reads: a whole Triton repository
FORMAT, VERSION = "servetune", "1"
#: the ports that KServe's own runtime for Triton uses
_HTTP, _GRPC = 8080, 9000
_CONTAINER = "kserve-container"


def documents(export: Export) -> Mapping[str, Document]:
    """Return the manifests by their file's name."""
    made = {
        "servingruntime.yaml": serving_runtime(export),
        "inferenceservice.yaml": inference_service(export),
    }
    namespace = {"namespace": export.wish.namespace} if export.wish.namespace else {}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **namespace,
        "resources": list(made),
    }
    return {**made, "kustomization.yaml": kustomization}


def serving_runtime(export: Export) -> Document:
    """Return the ServingRuntime."""
    engine, serve, *words = command(export.served, http=_HTTP, grpc=_GRPC)
    found = resources(export.size)
    start = export.size.start
    ready = {"httpGet": {"path": "/v2/health/ready", "port": _HTTP}, "timeoutSeconds": 5}
    live = {"httpGet": {"path": "/v2/health/live", "port": _HTTP}, "timeoutSeconds": 5}
    container = {
        "name": _CONTAINER,
        "image": export.image,
        "command": [engine, serve],
        "args": words,
        # Knative takes one port of a container, and this name says what is spoken on it.
        "ports": [{"name": "http1", "containerPort": _HTTP, "protocol": "TCP"}],
        **({"resources": found} if found else {}),
        "readinessProbe": {**ready, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": Noted(
            {**live, "initialDelaySeconds": start.value, "periodSeconds": 10},
            f"not before a start may be over: {start.source}",
        ),
        "securityContext": confined(),
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": metadata(export),
        "spec": {
            "annotations": {
                "prometheus.kserve.io/port": str(PORTS["metrics"]),
                "prometheus.kserve.io/path": "/metrics",
            },
            "supportedModelFormats": [{"name": FORMAT, "version": VERSION, "autoSelect": False}],
            "protocolVersions": ["v2", "grpc-v2"],
            "multiModel": False,
            "containers": [container],
        },
    }


def inference_service(export: Export) -> Document:
    """Return the InferenceService."""
    head = metadata(export)
    annotations = head["annotations"]
    assert isinstance(annotations, dict)
    mode = {"serving.kserve.io/deploymentMode": "Serverless"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {**head, "annotations": {**annotations, **mode}},
        "spec": {
            "predictor": {
                "minReplicas": export.wish.replicas,
                "maxReplicas": export.wish.most,
                **_scaling(export),
                "model": {
                    "modelFormat": {"name": FORMAT, "version": VERSION},
                    "runtime": export.name,
                    "protocolVersion": "v2",
                },
            }
        },
    }


def _scaling(export: Export) -> dict[str, object]:
    """Return by what it scales; {}, which leaves it to Knative, if nothing was measured."""
    amounts = export.size.in_flight
    if not amounts:
        return {}
    whole = max(1, math.floor(sum(each.value for each in amounts.values())))
    source = "; ".join(each.source for each in amounts.values())
    return {"scaleMetric": "concurrency", "scaleTarget": Noted(whole, f"in flight: {source}")}
