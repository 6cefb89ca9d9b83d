"""The manifests for Kubernetes: what runs, how it is reached, when there are more of it. Pure.

Owns their fields, and which figure stands where with its source as a comment. Rules:

1. How many pods there are is the autoscaler's to say: the Deployment leaves ``replicas`` out, or
   every ``apply`` would set it back.
2. The metrics to scale by are on the server's page: ``nv_inference_request_duration_us``, whose
   rate is by Little's law how many requests are in the server, and
   ``nv_inference_pending_request_count``. The first counts what was answered, so a server that
   answers nothing would look idle; the second does not.
3. Pods are annotated for Prometheus, the Service is not: who scrapes both would count all twice.
4. The ports open when all models are loaded, so a start is waited for by the startup probe alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analyzer.deployment.docker import USER
from analyzer.deployment.values import PORTS, Export, Size, is_label
from analyzer.deployment.yamltext import Noted

Document = Mapping[str, Any]

IN_FLIGHT, PENDING = "servetune_requests_in_flight", "servetune_requests_pending"
#: seconds between two looks of the startup probe
_LOOK_S = 5
#: seconds in which a pod that is to end is still sent requests, and which its end is given on top
_LEAVING_S, _SPARE_S = 5, 5
#: Kubernetes' own patience with a rollout, and what pulling the image may take of it, s
_DEADLINE_S, _PULL_S = 600, 300
_READY, _LIVE = "/v2/health/ready", "/v2/health/live"
_GPU = "nvidia.com/gpu"


def documents(export: Export) -> Mapping[str, Document]:
    """Return the manifests by their file's name; all but the adapter's values are applied."""
    made = {
        "deployment.yaml": deployment(export),
        "service.yaml": service(export),
        "hpa.yaml": autoscaler(export),
        "pdb.yaml": disruption_budget(export),
    }
    namespace = {"namespace": export.wish.namespace} if export.wish.namespace else {}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **namespace,
        "resources": list(made),
    }
    return {
        **made,
        "kustomization.yaml": kustomization,
        "prometheus-adapter-values.yaml": adapter_values(),
    }


def metadata(export: Export, **more: object) -> dict[str, object]:
    """Return an object's name, namespace and labels, and what it serves."""
    namespace = {"namespace": export.wish.namespace} if export.wish.namespace else {}
    return {
        "name": export.name,
        **namespace,
        "labels": labels(export),
        "annotations": {
            "servetune/model": export.served.model,
            "servetune/configuration": export.choice.variant,
            "servetune/profile": export.run,
        },
        **more,
    }


def selector(export: Export) -> dict[str, str]:
    """Return what picks this deployment's pods: it never changes with the configuration."""
    return {
        "app.kubernetes.io/name": export.name,
        "app.kubernetes.io/component": "inference-server",
    }


def labels(export: Export) -> dict[str, str]:
    """Return the labels of every object."""
    return {**selector(export), "app.kubernetes.io/managed-by": "servetune"}


def deployment(export: Export) -> Document:
    """Return the Deployment."""
    start = export.size.start.value
    deadline = start + _PULL_S
    slow = {"progressDeadlineSeconds": deadline} if deadline > _DEADLINE_S else {}
    surge = "a pod of the new kind comes before one of the old goes"
    if export.size.gpus:
        surge += ", which takes a free GPU; without one swap the two numbers"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(export),
        "spec": {
            **slow,
            "selector": {"matchLabels": selector(export)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": Noted({"maxUnavailable": 0, "maxSurge": 1}, surge),
            },
            "template": {
                "metadata": {
                    "labels": labels(export),
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(PORTS["metrics"]),
                        "prometheus.io/path": "/metrics",
                    },
                },
                "spec": _pod(export),
            },
        },
    }


def _pod(export: Export) -> Document:
    grace = _LEAVING_S + export.served.exit_timeout_s + _SPARE_S
    tolerations: dict[str, object] = {}
    if export.size.gpus:
        tolerations = {"tolerations": [{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}]}
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": Noted(
            grace,
            f"{_LEAVING_S} s until nobody sends any more, {export.served.exit_timeout_s} s "
            f"(--exit-timeout-secs) to answer what is in flight, {_SPARE_S} s to spare",
        ),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(export)},
            }
        ],
        **tolerations,
        "containers": [_container(export)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _container(export: Export) -> Document:
    found = resources(export.size)
    return {
        "name": "server",
        "image": export.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()
        ],
        **({"resources": found} if found else {}),
        **probes(export.size),
        "lifecycle": {
            "preStop": Noted(
                {"exec": {"command": ["sleep", str(_LEAVING_S)]}},
                "until every node knows that this pod gets no more requests",
            )
        },
        "securityContext": {**confined(), "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
    }


def confined() -> dict[str, object]:
    """Return what a container may not do."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def resources(size: Size) -> dict[str, object]:
    """Return requests and limits, each with its source; {} where nothing was measured."""
    requests: dict[str, object] = {}
    limits: dict[str, object] = {}
    if size.cpu_request is not None:
        requests["cpu"] = Noted(cores(size.cpu_request.value), size.cpu_request.source)
    if size.cpu_limit is not None:
        limits["cpu"] = Noted(cores(size.cpu_limit.value), size.cpu_limit.source)
    if size.memory is not None:
        requests["memory"] = Noted(f"{size.memory.value}Mi", size.memory.source)
        limits["memory"] = Noted(
            f"{size.memory.value}Mi", "as requested: memory cannot be taken back from a process"
        )
    if size.gpus is not None:
        limits[_GPU] = Noted(str(size.gpus.value), size.gpus.source)
    named = {"requests": requests, "limits": limits}
    return {name: each for name, each in named.items() if each}


def cores(amount: float) -> str:
    """Spell cores: ``2``, or thousandths, ``1500m``."""
    return f"{amount:.0f}" if amount == int(amount) else f"{round(amount * 1000)}m"


def probes(size: Size) -> dict[str, object]:
    """Return the probes of a container whose HTTP port is named ``http``."""
    looks = math.ceil(size.start.value / _LOOK_S)
    return {
        "startupProbe": Noted(
            _probe(_READY, _LOOK_S, looks, timeout=5),
            f"{looks * _LOOK_S} s: {size.start.source}",
        ),
        "readinessProbe": _probe(_READY, 5, 2, timeout=5),
        "livenessProbe": _probe(_LIVE, 10, 3, timeout=5),
    }


def _probe(path: str, period: int, failures: int, timeout: int) -> dict[str, object]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def service(export: Export) -> Document:
    """Return the Service."""
    kinds = {"http": "http", "grpc": "kubernetes.io/h2c", "metrics": "http"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(export),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(export),
            "ports": [
                {
                    "name": name,
                    "port": port,
                    "targetPort": name,
                    "protocol": "TCP",
                    "appProtocol": kinds[name],
                }
                for name, port in PORTS.items()
            ],
        },
    }


def autoscaler(export: Export) -> Document:
    """Return the HorizontalPodAutoscaler; by the CPU where no in-flight requests were measured."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(export),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": export.name},
            "minReplicas": export.wish.replicas,
            "maxReplicas": export.wish.most,
            "metrics": _metrics(export.size),
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": Noted(
                    {"stabilizationWindowSeconds": 300},
                    "a pod that goes has to start anew when it is needed again",
                ),
            },
        },
    }


def _metrics(size: Size) -> list[object]:
    found: list[object] = []
    for model, amount in size.in_flight.items():
        known = {"selector": {"matchLabels": {"model": model}}} if is_label(model) else {}
        found.append(_pods_metric({"name": IN_FLIGHT, **known}, amount.value, amount.source))
    if size.pending is not None:
        found.append(_pods_metric({"name": PENDING}, size.pending.value, size.pending.source))
    if not found:
        found.append(
            Noted(
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 80},
                    },
                },
                "of what is requested; how many requests are in flight was not measured",
            )
        )
    return found


def _pods_metric(metric: Mapping[str, object], amount: float, source: str) -> Document:
    return {
        "type": "Pods",
        "pods": {
            "metric": metric,
            "target": {
                "type": "AverageValue",
                "averageValue": Noted(f"{max(1, round(amount * 1000))}m", source),
            },
        },
    }


def disruption_budget(export: Export) -> Document:
    """Return the PodDisruptionBudget: nodes are emptied one pod at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(export),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(export)}},
    }


def adapter_values() -> Document:
    """Return what makes Prometheus' numbers the metrics that the autoscaler asks for.

    Values of the Helm chart of prometheus-adapter; its own configuration has the same rules.
    """
    places = {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}}

    def rule(series: str, name: str, query: str, note: str) -> Noted:
        return Noted(
            {
                "seriesQuery": f'{series}{{namespace!="",pod!=""}}',
                "resources": places,
                "name": {"matches": ".*", "as": name},
                "metricsQuery": f"sum({query}) by (<<.GroupBy>>)",
            },
            note,
        )

    chosen = "<<.Series>>{<<.LabelMatchers>>}"
    return {
        "rules": {
            "custom": [
                rule(
                    "nv_inference_request_duration_us", IN_FLIGHT, f"rate({chosen}[1m]) / 1e6",
                    "microseconds that requests took, a second: how many are in the server at once",
                ),
                rule(
                    "nv_inference_pending_request_count", PENDING, chosen,
                    "requests that wait for an instance at this moment",
                ),
            ]
        }
    }  # fmt: skip
