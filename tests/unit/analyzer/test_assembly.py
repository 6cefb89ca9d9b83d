"""Several models as one: whose setting is whose, and one model alone is what it always was."""

from analyzer import assembly, variant
from analyzer.assembly import Assembly
from analyzer.space import Axis, Candidate, Dimension, Limits, Space
from engine.modelconfig.schema import EnsembleStep, InstanceGroup, InstanceKind, ModelConfig

MACHINE = variant.Machine(cores=2)
LIMITS = Limits(max_model_batch_size=2, queue_delays_us=(0,), concurrencies=(1, 4))


def model(name: str, size: int = 8) -> ModelConfig:
    group = InstanceGroup(name=name, kind=InstanceKind.KIND_CPU, count=1)
    return ModelConfig(name=name, backend="python", max_batch_size=size, instance_group=(group,))


def ensemble(name: str, *steps: str, size: int = 8) -> ModelConfig:
    called = tuple(EnsembleStep(model_name=step) for step in steps)
    return ModelConfig(
        name=name, platform="ensemble", max_batch_size=size, ensemble_scheduling=called
    )


PIPELINE = Assembly(
    "p", ensemble("p", "a", "inner"),
    {"a": model("a"), "inner": ensemble("inner", "b"), "b": model("b")},
)  # fmt: skip


def rooms(of: Assembly) -> dict[str, Space]:
    return {name: variant.space(config, MACHINE, LIMITS) for name, config in of.configs.items()}


def test_one_model_alone_is_what_variant_makes_of_it() -> None:
    base = model("m")
    alone = Assembly.of(base)
    candidate = Candidate.of(instance_count=2, concurrency=4)
    made = assembly.make(candidate, alone)
    assert made == {"m": variant.make(candidate, base)}
    assert assembly.digest(made) == variant.digest(made["m"])
    assert assembly.settings(alone, made, {}) == variant.settings(made["m"])
    assert assembly.space(alone, rooms(alone)) == rooms(alone)["m"]


def test_an_ensembles_dimensions_are_its_models_and_the_load_is_its_own() -> None:
    found = assembly.space(PIPELINE, rooms(PIPELINE)).dimensions
    names = [each.name for each in found]
    assert names == [
        "a::instance_count", "a::max_queue_delay_microseconds", "a::max_batch_size",
        "b::instance_count", "b::max_queue_delay_microseconds", "b::max_batch_size",
        "concurrency",
    ]  # fmt: skip
    assert [each.name for each in found if each.axis is Axis.LOAD] == ["concurrency"]


def test_models_side_by_side_have_each_its_settings_and_its_load() -> None:
    both = Assembly.beside({"a": model("a"), "b": model("b")})
    found = assembly.space(both, rooms(both)).dimensions
    loads = [each for each in found if each.axis is Axis.LOAD]
    assert loads == [Dimension(f"{name}::concurrency", (1, 4), Axis.LOAD) for name in "ab"]
    assert both.name == "a+b"
    assert both.loaded == ("a", "b")
    made = assembly.make(Candidate.of(**{"b::instance_count": 2}), both)
    assert made["a"] == model("a")
    assert made["b"].instance_group[0].count == 2


def test_each_model_gets_its_own_share_of_a_candidate() -> None:
    candidate = Candidate.of(**{"a::instance_count": 2, "b::instance_count": 3, "concurrency": 4})
    made = assembly.make(candidate, PIPELINE)
    assert [made[name].instance_group[0].count for name in "ab"] == [2, 3]
    assert made["p"] == PIPELINE.top
    assert assembly.digest(made) != assembly.digest(PIPELINE.configs)
    assert assembly.digest(assembly.make(Candidate.of(concurrency=1), PIPELINE)) == (
        assembly.digest(PIPELINE.configs)
    )


def test_an_ensemble_takes_no_bigger_batches_than_its_models() -> None:
    made = assembly.make(Candidate.of(**{"b::max_batch_size": 2}), PIPELINE)
    assert [made[name].max_batch_size for name in ("p", "inner", "a", "b")] == [2, 2, 8, 2]
    made = assembly.make(Candidate.of(**{"b::max_batch_size": 64}), PIPELINE)
    assert [made[name].max_batch_size for name in ("p", "inner", "b")] == [8, 8, 64]


def test_what_reports_show_has_every_model_and_the_name_of_its_variant() -> None:
    made = assembly.make(Candidate.of(**{"b::instance_count": 3}), PIPELINE)
    shown = assembly.settings(PIPELINE, made, {"b": "b_config_0"})
    assert shown["instance_group"] == "a 1:CPU + b 3:CPU"
    assert shown["max_batch_size"] == 8
    assert shown["models"]["b"]["variant"] == "b_config_0"
    assert shown["models"]["b"]["instance_count"] == 3


def test_candidates_are_taken_apart_and_put_together_again() -> None:
    candidate = Candidate.of(**{"a::max_batch_size": 1, "concurrency": 4, "b::instance_count": 1})
    parts = candidate.by_model()
    assert parts[""] == Candidate.of(concurrency=4)
    assert parts["a"] == Candidate.of(max_batch_size=1)
    assert Candidate.of_models(parts) == candidate


def test_what_is_canonical_or_impossible_is_so_for_each_model() -> None:
    delay = "a::max_queue_delay_microseconds"
    candidate = Candidate.of(**{"a::max_batch_size": 1, delay: 500, "batch_size": 1})
    assert variant.canonical(candidate).get(delay) == variant.NO_BATCHING
    assert str(variant.reason_not_possible(candidate)).startswith("a: a queue delay of 500 us")
    larger = Candidate.of(**{"a::max_batch_size": 2, "batch_size": 4})
    assert variant.reason_not_possible(larger) == (
        "a: requests of batch size 4 with max_batch_size 2"
    )
