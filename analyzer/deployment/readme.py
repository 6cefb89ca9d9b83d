"""The README of an export: what was measured, where each number is from, how to deploy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.deployment.kubernetes import IN_FLIGHT, PENDING, cores
from analyzer.deployment.sizing import figures
from analyzer.deployment.values import Export, Format, Size
from analyzer.report import wording

_IMAGE = """\
## The image

```
docker build --tag {image} .
docker run --rm {gpus}--publish 8000:8000 --publish 8001:8001 --publish 8002:8002 {image}
curl --fail localhost:8000/v2/health/ready
```

requirements.txt has the versions that were measured. What your package index does not have comes as
a wheel into `wheels/` before the build (`analyze export --wheel FILE` puts it there). For an index
of your own, or the CPU build of PyTorch: `--build-arg PIP_INDEX_URL=...` (or
`PIP_EXTRA_INDEX_URL`).
"""
_KUBERNETES = """\
## Kubernetes

```
kubectl apply{space} --kustomize kubernetes
kubectl rollout status{space} deployment/{name}
```

{least} to {most} pods, by the metrics `{in_flight}` and `{pending}` of each. They are made from
the server's own (`nv_inference_request_duration_us`, `nv_inference_pending_request_count`) by
Prometheus, which the pods' annotations ask to read them, and prometheus-adapter:
`kubernetes/prometheus-adapter-values.yaml` are values of its Helm chart. Until it answers, the
autoscaler keeps {least} pods.

A cluster's Service deals out connections, not requests: gRPC clients, which keep one, need a proxy
that knows HTTP/2, or several connections. What you change goes into an overlay of kustomize, so
that the next export finds its own files.
"""
_KSERVE = """\
## KServe

```
kubectl apply{space} --kustomize kserve
kubectl get{space} inferenceservice {name}
```

The InferenceService names its runtime, which has the models in its image; Knative scales it by
requests in flight. Where KServe runs without Knative (`RawDeployment`), take `kubernetes/` instead:
KServe scales by CPU or memory there.
"""


def text(export: Export) -> str:
    """Write the README."""
    parts = [
        _what(export),
        _measured(export),
        _numbers(export.size),
        _notes(export.served.notes),
        *_ways(export),
        _again(),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _what(export: Export) -> str:
    served = export.served
    several = "" if len(served.configs) == 1 else f" (with {wording.listed(list(served.configs))})"
    return f"""\
# {served.model} in production

`analyze export` wrote this folder: the model {served.model}{several} in the configuration
`{export.choice.variant}`, and what it takes to run it.

{export.choice.claim}

`models/` is a Triton model repository: `engine serve --model-repository models` serves it as it is,
and so does Triton, where its backends are the same.
"""


def _measured(export: Export) -> str:
    size = export.size
    point = "the knee of throughput and latency" if size.knee else "the load at which it did best"
    rows = [("Machine", export.machine), ("Profile", export.run)]
    rows += [("Operating point", f"{wording.load(size.operating)}: {point}")]
    rows += figures(size.operating)
    return "## What was measured\n\n" + _table(("", ""), rows)


def _numbers(size: Size) -> str:
    rows: list[tuple[str, str, str]] = []
    if size.cpu_request is not None:
        rows.append(("CPU request", cores(size.cpu_request.value), size.cpu_request.source))
    if size.cpu_limit is not None:
        rows.append(("CPU limit", cores(size.cpu_limit.value), size.cpu_limit.source))
    if size.memory is not None:
        rows.append(("memory", f"{size.memory.value}Mi", size.memory.source))
    if size.gpus is not None:
        rows.append(("GPUs", str(size.gpus.value), size.gpus.source))
    rows.append(("a start may take", f"{size.start.value} s", size.start.source))
    for model, amount in size.in_flight.items():
        rows.append((f"in flight, {model}", f"{amount.value:.2f} a pod", amount.source))
    if size.pending is not None:
        rows.append(("waiting", f"{size.pending.value:.2f} a pod", size.pending.source))
    return "## Where the numbers are from\n\n" + _table(("what", "value", "source"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(each) for each in line) + " |\n" for line in lines)


def _cell(word: str) -> str:
    return word.replace("|", "\\|")


def _notes(notes: Sequence[str]) -> str:
    return "## To know\n\n" + "".join(f"- {each}\n" for each in notes) if notes else ""


def _ways(export: Export) -> Iterator[str]:
    """Say how to deploy it, for each format that was written."""
    ways = {Format.DOCKER: _IMAGE, Format.KUBERNETES: _KUBERNETES, Format.KSERVE: _KSERVE}
    namespace = export.wish.namespace
    for each, words in ways.items():
        if each in export.wish.formats:
            yield words.format(
                image=export.image,
                gpus="--gpus all " if export.size.gpus else "",
                space=f" --namespace {namespace}" if namespace else "",
                name=export.name,
                least=export.wish.replicas,
                most=export.wish.most,
                in_flight=IN_FLIGHT,
                pending=PENDING,
            )


def _again() -> str:
    return """\
## Again

The same `analyze export` changes nothing; after another profile it replaces its own files, and
refuses where one was changed by hand. `.servetune-export.json` is how it knows them.
"""
