"""Calls that can never end are found, and no others."""

from __future__ import annotations

from engine.waits import Key, Member, Waits


class Scene:
    """Models with so many instances each, and what was said of calls."""

    def __init__(self, **counts: int) -> None:
        self.waits = Waits()
        self.members = {
            name: [Member((name, 1)) for _ in range(count)] for name, count in counts.items()
        }
        for members in self.members.values():
            for one in members:
                self.waits.join(one)
        self.failed: dict[str, str] = {}
        self._batch = 0

    def run(self, model: str, place: int = 0, *carried: int) -> Member:
        """Have an instance execute what these calls brought."""
        self._batch += 1
        member = self.members[model][place]
        member.began(self._batch, carried)
        return member

    def call(self, owner: Member | None, *models: str, batch: int | None = None) -> int:
        """Call a model, or an ensemble that waits at several."""
        number = self.waits.begin(
            owner,
            (owner.batch if owner is not None else 0) if batch is None else batch,
            models[0],
            lambda text: self.failed.__setitem__(models[0], text),
        )
        for model in models:
            self.waits.arrive(number, key(model))
        return number


def key(model: str) -> Key:
    return model, 1


def test_a_model_that_calls_itself_needs_a_free_instance() -> None:
    scene = Scene(a=1)
    scene.call(scene.run("a"), "a")
    assert "the chain of calls a -> a came back" in scene.failed["a"]
    scene = Scene(a=2)
    scene.call(scene.run("a"), "a")
    assert not scene.failed


def test_a_chain_comes_back_by_others_also_by_one_of_several_instances() -> None:
    scene = Scene(a=1, b=2)
    to_b = scene.call(scene.run("a"), "b")
    assert not scene.failed
    scene.call(scene.run("b", 1, to_b), "a")  # the other instance of b does not help
    assert "a -> b -> a" in scene.failed["a"]


def test_two_chains_may_hold_each_others_instances() -> None:
    scene = Scene(a=1, b=1)
    scene.call(scene.run("a"), "b")
    assert not scene.failed
    scene.call(scene.run("b"), "a")
    assert set(scene.failed) == {"a"}


def test_who_computes_or_calls_what_computes_is_waited_for() -> None:
    scene = Scene(a=1, b=1)
    scene.run("b")
    scene.call(scene.run("a"), "b")
    outsider = scene.call(None, "a")
    scene.waits.end(outsider)
    scene.call(scene.members["b"][0], "onnx")
    assert not scene.failed


def test_what_is_called_for_an_earlier_batch_or_for_none_holds_nothing() -> None:
    scene = Scene(a=1)
    member = scene.run("a")
    scene.call(member, "a", batch=0)
    earlier = member.batch
    member.ran(earlier)
    scene.run("a")
    scene.call(member, "a", batch=earlier)
    assert not scene.failed


def test_when_what_could_go_on_has_ended_the_rest_is_looked_at_again() -> None:
    scene = Scene(a=1)
    member = scene.run("a")
    slow = scene.call(member, "onnx")
    scene.call(member, "a")
    assert not scene.failed  # the answer of the other may be all that it waits for
    scene.waits.depart(slow, key("onnx"))
    scene.waits.end(slow)
    assert set(scene.failed) == {"a"}


def test_an_instance_that_goes_leaves_its_callers_to_be_told() -> None:
    scene = Scene(a=2)
    scene.call(scene.run("a"), "a")
    assert not scene.failed
    scene.waits.leave(scene.members["a"][1])
    assert set(scene.failed) == {"a"}


def test_an_ensemble_ends_by_any_step_that_goes_on_and_is_judged_at_each() -> None:
    scene = Scene(a=1)
    number = scene.call(scene.run("a"), "onnx")
    scene.waits.depart(number, key("onnx"))  # between two steps
    assert not scene.failed
    scene.waits.arrive(number, key("a"))
    assert set(scene.failed) == {"onnx"}  # by the name that was called


def test_of_a_circle_one_call_is_failed_and_the_others_go_on() -> None:
    scene = Scene(a=1, b=1, c=1)
    for one, other in (("a", "b"), ("b", "c")):
        scene.call(scene.run(one), other)
    last = scene.call(scene.run("c"), "a")
    assert set(scene.failed) == {"a"}
    scene.waits.end(last)
    scene.members["c"][0].ran(scene.members["c"][0].batch)
    assert set(scene.failed) == {"a"}
