"""``model_config_parameters``: any field of a configuration, and every leaf may be a choice. Pure.

Owns what a list means there, as in Model Analyzer: for a field that does not repeat, its values to
try; for one that repeats, its elements, unless they are lists themselves, which are then the
values to try. Choices inside a field are multiplied. Each field becomes one dimension of the
search; what other searches vary as well (instances, batch size, queue delay, threads, the backend)
has their name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from analyzer.config.values import Way, Wrong
from analyzer.space import (
    BACKEND,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Dimension,
    Value,
)
from engine.modelconfig import convert
from engine.modelconfig.mapping import is_repeated
from engine.modelconfig.plain import is_map

Field = Any  # protobuf's FieldDescriptor; generated code publishes no types
#: more values than this of one field are a mistake, not a search
MOST = 1000
_MESSAGE = 11  # FieldDescriptor.TYPE_MESSAGE


def dimensions(value: object) -> tuple[Dimension, ...]:
    """Read the fields and what to try of each, the batch size last, as it costs least to vary.

    Raises:
        Wrong: a field, or a value of it, that no configuration has.
    """
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"expected fields of a model's configuration, found {value!r}")
    wrong: dict[tuple[Way, str], None] = {}
    made: list[Dimension] = []
    known = convert.fields().fields_by_name
    for key, given in value.items():
        name = str(key)
        every = [given]
        if name in known:
            every = list(islice(_alternatives(known[name], given), MOST + 1))
        if len(every) > MOST:
            wrong[(name,), f"more than {MOST} values to try"] = None
            continue
        if not every:
            wrong[(name,), "expected at least one value to try, found none"] = None
        for each in every:
            for found in convert.misfits({name: each}):
                wrong[found.path, f"{found.what}; {found.hint}" if found.hint else found.what] = (
                    None
                )
        if not wrong:
            made += _named(name, every)
    if wrong:
        raise Wrong(tuple(wrong))
    return tuple(sorted(made, key=lambda each: each.name == MAX_BATCH_SIZE))


def _alternatives(field: Field, given: Any) -> Iterator[Any]:  # noqa: ANN401 - YAML
    """Yield every value to try of a field."""
    if is_map(field):
        of = field.message_type.fields_by_name["value"]
        for each in given if isinstance(given, list) else [given]:
            yield from _products({key: (of, inner) for key, inner in (each or {}).items()})
    elif is_repeated(field):
        sweep = isinstance(given, list) and given and all(isinstance(one, list) for one in given)
        for each in given if sweep else [given]:
            elements = each if isinstance(each, list) else [each]
            yield from map(list, product(*(list(_one(field, one)) for one in elements)))
    else:
        for each in given if isinstance(given, list) else [given]:
            yield from _one(field, each)


def _one(field: Field, given: Any) -> Iterator[Any]:  # noqa: ANN401 - YAML
    """Yield every value of one element, or of a field that does not repeat."""
    if field.type != _MESSAGE:
        yield given
    elif field.message_type.name == "ModelParameter" and not isinstance(given, Mapping):
        for each in given if isinstance(given, list) else [given]:
            yield {"string_value": str(each).lower() if isinstance(each, bool) else str(each)}
    elif given is None or isinstance(given, Mapping):
        known = field.message_type.fields_by_name
        inner = {str(key): (known.get(str(key)), one) for key, one in (given or {}).items()}
        yield from _products(inner)
    else:
        yield given


def _products(fields: Mapping[str, tuple[Field | None, Any]]) -> Iterator[dict[str, Any]]:
    every = [
        [given] if field is None else list(_alternatives(field, given))
        for field, given in fields.values()
    ]
    for values in product(*every):
        yield dict(zip(fields, values, strict=True))


def _named(name: str, every: Sequence[Any]) -> list[Dimension]:
    """Make the dimension of a field, under the name that the search knows it by."""
    if name == BACKEND:
        return [Dimension(name, tuple(dict.fromkeys(map(str, every))))]
    if name == MAX_BATCH_SIZE:
        return [_dimension(name, map(int, every))]
    if name == "dynamic_batching" and all(set(each) <= {QUEUE_DELAY} for each in every):
        return [_dimension(QUEUE_DELAY, (int(each.get(QUEUE_DELAY, 0)) for each in every))]
    if name == "parameters" and all(set(each) == {INTRA_OP_THREADS} for each in every):
        threads = [each[INTRA_OP_THREADS].get("string_value", "") for each in every]
        if all(each.isdecimal() for each in threads):
            return [_dimension(INTRA_OP_THREADS, map(int, threads))]
    if name == "instance_group" and all(len(each) == 1 for each in every):
        rest = [{key: one for key, one in each[0].items() if key != "count"} for each in every]
        if all(each == rest[0] for each in rest):
            counts = _dimension(INSTANCE_COUNT, (int(each[0].get("count", 1)) for each in every))
            fixed = Dimension(name, (_text([rest[0]]),))
            return [fixed, counts] if rest[0] else [counts]
    return [Dimension(name, tuple(dict.fromkeys(map(_text, every))))]


def _dimension(name: str, values: Iterator[int] | Any) -> Dimension:  # noqa: ANN401 - an iterable
    found: tuple[Value, ...] = tuple(sorted(set(values)))
    return Dimension(name, found)


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
