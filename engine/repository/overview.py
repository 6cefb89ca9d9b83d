"""What a repository holds, as a person reads it when the server starts.

Pure: index entries and served models in, lines of text out. Does not own how the lines are
drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig
from engine.repository.registry import IndexEntry

#: the columns of the table, in order, as ``Line`` has them
COLUMNS = ("Model", "Version", "State", "Backend", "Instances", "Max batch", "Runs on")

#: stands for the version of a model of which none could be chosen
NO_VERSION = "-"

_DEVICE = {
    InstanceKind.KIND_CPU: "CPU",
    InstanceKind.KIND_GPU: "GPU",
    InstanceKind.KIND_MODEL: "of the model's choice",
    InstanceKind.KIND_AUTO: "auto",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One model version. What is not known of it, because it did not load, is empty.

    ``reason`` is too long for a column of its own: ``explanation`` belongs below the table.
    """

    model: str
    version: str
    state: str
    backend: str = ""
    instances: str = ""
    max_batch: str = ""
    runs_on: str = ""
    reason: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The line in the order of ``COLUMNS``."""
        return (
            self.model,
            self.version,
            self.state,
            self.backend,
            self.instances,
            self.max_batch,
            self.runs_on,
        )

    @property
    def explanation(self) -> str:
        """Why it is not served, "" if it is."""
        if not self.reason:
            return ""
        version = "" if self.version == NO_VERSION else f" version {self.version}"
        return f"{self.model}{version}: {self.reason}"


def overview(
    entries: Iterable[IndexEntry],
    served: Mapping[tuple[str, str], ModelConfig],
    runtimes: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
) -> tuple[Line, ...]:
    """Describe every entry of the index, those that are not served last.

    ``served`` holds the configuration of every (model, version) that is, and ``runtimes`` what
    runs it by its own account.
    """
    known = runtimes or {}
    lines = [
        _line(entry, served.get(key), known.get(key, {}))
        for entry, key in ((entry, (entry.name, entry.version)) for entry in entries)
    ]
    return tuple(sorted(lines, key=lambda line: bool(line.reason)))


def _line(entry: IndexEntry, config: ModelConfig | None, runtime: Mapping[str, str]) -> Line:
    if config is None:
        return Line(
            model=entry.name,
            version=entry.version or NO_VERSION,
            state=entry.state.value,
            reason=entry.reason,
        )
    return Line(
        model=entry.name,
        version=entry.version,
        state=entry.state.value,
        backend=config.backend or config.platform,
        instances=instances(config.instance_group),
        max_batch=str(config.max_batch_size),
        runs_on=runs_on(runtime),
        reason=entry.reason,
    )


def runs_on(runtime: Mapping[str, str]) -> str:
    """Say in few words what runs a model: ``onnxruntime 1.32.0, CPU``, ``openvino ..., f32``."""
    first = runtime.get("providers", runtime.get("device", "")).partition(",")[0]
    where = first.removesuffix("ExecutionProvider")
    said = (runtime.get("runtime", ""), where, runtime.get("precision", ""))
    return ", ".join(word for word in said if word)


def instances(groups: Sequence[InstanceGroup]) -> str:
    """Count instances by where they run: ``2 x CPU``, ``1 x GPU 0, 1 x GPU 1``."""
    count: Counter[str] = Counter()
    for group in groups:
        device = _DEVICE[group.kind]
        for place in [f"{device} {gpu}" for gpu in group.gpus] or [device]:
            count[place] += group.count
    return ", ".join(f"{number} x {place}" for place, number in count.items())
