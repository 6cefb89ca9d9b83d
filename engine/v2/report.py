"""The JSON of every verb besides inference: metadata, statistics, index, load and unload.

Owns their members, both ways. A reply is read leniently, because it may come from any server of
the protocol: members nobody here knows are passed over, and one that tells nothing vital (a
version, a platform, the extensions) may be missing. Does not own the configuration's JSON
(``engine.modelconfig``).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from engine.errors import Internal, InvalidArgument
from engine.types import TensorSpec
from engine.v2 import strict
from engine.v2.call import (
    BatchFigures,
    Count,
    Index,
    IndexedModel,
    Load,
    MemoryFigures,
    ModelDescription,
    ModelFigures,
    RepositoryIndex,
    ResponseFigures,
    ServerDescription,
    StatisticsReport,
    Unload,
)
from engine.v2.message import datatype

if TYPE_CHECKING:
    from collections.abc import Mapping

_TALLIES = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit",
    "cache_miss",
)  # fmt: skip
_BATCH_TALLIES = ("compute_input", "compute_infer", "compute_output")
_RESPONSE_TALLIES = (
    "compute_infer", "compute_output", "success", "fail", "empty_response", "cancel",
)  # fmt: skip
_SCALARS = ("last_inference", "inference_count", "execution_count")


def server_to_json(reply: ServerDescription) -> dict[str, Any]:
    """Spell the server's metadata."""
    return {"name": reply.name, "version": reply.version, "extensions": list(reply.extensions)}


def server_from_json(plain: Mapping[str, Any]) -> ServerDescription:
    """Read a server's metadata.

    Raises:
        InvalidArgument: a member is missing or of another kind. So for the others below.
    """
    return ServerDescription(
        strict.text(plain, "name"), _text(plain, "version"), _texts(plain, "extensions")
    )


def _text(plain: Mapping[str, Any], name: str) -> str:
    """Get a text that a server may leave out, or null."""
    return "" if plain.get(name) is None else strict.text(plain, name)


def _texts(plain: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Get texts that a server may leave out, or null."""
    return () if plain.get(name) is None else tuple(map(str, strict.array(plain, name)))


def model_to_json(reply: ModelDescription) -> dict[str, Any]:
    """Spell a model's metadata."""
    return {
        "name": reply.name,
        "versions": list(reply.versions),
        "platform": reply.platform,
        "inputs": [_spec_to_json(spec) for spec in reply.inputs],
        "outputs": [_spec_to_json(spec) for spec in reply.outputs],
    }


def model_from_json(plain: Mapping[str, Any]) -> ModelDescription:
    """Read a model's metadata."""
    return ModelDescription(
        strict.text(plain, "name"),
        _texts(plain, "versions"),
        _text(plain, "platform"),
        tuple(_spec_from_json(one) for one in strict.objects(plain, "inputs")),
        tuple(_spec_from_json(one) for one in strict.objects(plain, "outputs")),
    )


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": list(spec.shape)}


def _spec_from_json(plain: Mapping[str, Any]) -> TensorSpec:
    name = strict.text(plain, "name")
    try:
        shape = tuple(map(int, strict.array(plain, "shape")))
    except (TypeError, ValueError, OverflowError) as error:
        raise strict.wrong("shape", f"{error} (tensor '{name}')") from error
    return TensorSpec(name, datatype(strict.text(plain, "datatype"), name), shape)


def statistics_to_json(reply: StatisticsReport) -> dict[str, Any]:
    """Spell statistics; every key is there and every number is a whole one."""
    return {"model_stats": [_figures_to_json(figures) for figures in reply.models]}


def _figures_to_json(figures: ModelFigures) -> dict[str, Any]:
    return {
        "name": figures.name,
        "version": figures.version,
        **{name: getattr(figures, name) for name in _SCALARS},
        "inference_stats": {name: _count_to_json(getattr(figures, name)) for name in _TALLIES},
        "response_stats": {
            str(response.index): {
                name: _count_to_json(getattr(response, name)) for name in _RESPONSE_TALLIES
            }
            for response in figures.responses
        },
        "batch_stats": [
            {
                "batch_size": batch.batch_size,
                **{name: _count_to_json(getattr(batch, name)) for name in _BATCH_TALLIES},
            }
            for batch in figures.batches
        ],
        "memory_usage": [
            {"type": one.type, "id": one.id, "byte_size": one.byte_size} for one in figures.memory
        ],
        **({"runtime": dict(figures.runtime)} if figures.runtime else {}),
    }


def _count_to_json(count: Count) -> dict[str, int]:
    return {"count": count.count, "ns": count.ns}


def statistics_from_json(plain: Mapping[str, Any]) -> StatisticsReport:
    """Read statistics; a tally that a server leaves out counts as 0."""
    return StatisticsReport(
        tuple(_figures_from_json(one) for one in strict.objects(plain, "model_stats"))
    )


def _figures_from_json(plain: Mapping[str, Any]) -> ModelFigures:
    scalars: dict[str, Any] = {
        name: strict.unsigned(plain, name) if name in plain else 0 for name in _SCALARS
    }
    given = strict.members(plain, "inference_stats")
    tallies: dict[str, Any] = {name: _count_from_json(given, name) for name in _TALLIES}
    batches = strict.objects(plain, "batch_stats") if "batch_stats" in plain else ()
    responses = strict.members(plain, "response_stats")
    memory = strict.objects(plain, "memory_usage") if "memory_usage" in plain else ()
    return ModelFigures(
        name=strict.text(plain, "name"),
        version=_text(plain, "version"),
        **scalars,
        **tallies,
        batches=tuple(
            BatchFigures(
                strict.unsigned(one, "batch_size"),
                *(_count_from_json(one, name) for name in _BATCH_TALLIES),
            )
            for one in batches
        ),
        responses=tuple(
            ResponseFigures(
                index=_index(place),
                **{
                    name: _count_from_json(strict.members(responses, place), name)
                    for name in _RESPONSE_TALLIES
                },
            )
            for place in sorted(responses, key=_index)
        ),
        memory=tuple(
            MemoryFigures(
                strict.text(one, "type"),
                *(strict.unsigned(one, name) for name in ("id", "byte_size")),
            )
            for one in memory
        ),
        runtime={str(key): str(value) for key, value in strict.members(plain, "runtime").items()},
    )


def _index(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise strict.wrong("response_stats", f"'{text}' is no number of a response")
    return int(text)


def _count_from_json(owner: Mapping[str, Any], name: str) -> Count:
    plain = strict.members(owner, name)
    return (
        Count(strict.unsigned(plain, "count"), strict.unsigned(plain, "ns")) if plain else Count()
    )


def index_to_json(reply: Index) -> list[dict[str, str]]:
    """Spell the repository index; a model that was never loaded has a name only."""
    return [
        {
            name: value
            for name in ("name", "version", "state", "reason")
            if (value := getattr(model, name))
        }
        for model in reply.models
    ]


def index_from_json(plain: object) -> Index:
    """Read a repository index."""
    if not isinstance(plain, list) or not all(isinstance(one, dict) for one in plain):
        raise InvalidArgument("the repository index is not an array of objects")
    return Index(
        tuple(
            IndexedModel(
                strict.text(one, "name"),
                *(_text(one, name) for name in ("version", "state", "reason")),
            )
            for one in plain
        )
    )


def index_request(body: bytes) -> RepositoryIndex:
    """Read the body of an index request; an empty one is fine."""
    if not body:
        return RepositoryIndex()
    ready = strict.document(body).get("ready", False)
    if type(ready) is not bool:
        raise InvalidArgument("Invalid value for 'ready': expected a boolean")
    return RepositoryIndex(ready)


def load_request(model: str, body: bytes) -> Load:
    """Read the body of a load request; an empty one is fine.

    Raises:
        InvalidArgument: the body is not JSON, a file is not base64.
        Internal: a parameter nobody knows (Triton answers 500).
    """
    if not body:
        return Load(model)
    plain = strict.members(strict.document(body), "parameters")
    parameters: dict[str, str | bytes] = {}
    for name in plain:
        if name == "config":
            parameters[name] = strict.text(plain, name)
        elif name.startswith("file:"):
            try:
                parameters[name] = b64decode(strict.text(plain, name), validate=True)
            except ValueError as error:
                message = f"Unable to parse '{name}': not valid base64: {error}"
                raise InvalidArgument(message) from error
        else:
            message = "unexpected error on creating Triton parameter"
            raise Internal(f"{message}: '{name}'; there are 'config' and 'file:<path>'")
    return Load(model, parameters)


def load_to_json(call: Load) -> bytes:
    """Spell the body of a load request."""
    if not call.parameters:
        return b""
    parameters = {
        name: b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in call.parameters.items()
    }
    return strict.dumps({"parameters": parameters})


def unload_request(model: str, body: bytes) -> Unload:
    """Read the body of an unload request; an empty one is fine."""
    if not body:
        return Unload(model)
    parameters = strict.members(strict.document(body), "parameters")
    name = "unload_dependents"
    return Unload(model, strict.flag(parameters, name) if name in parameters else False)


def unload_to_json(call: Unload) -> bytes:
    """Spell the body of an unload request."""
    if not call.dependents:
        return b""
    return strict.dumps({"parameters": {"unload_dependents": True}})
