"""Laws of a model version's life, under any order of events."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.repository.lifecycle import (
    UNLOADED,
    Abandoned,
    Drained,
    Event,
    Failed,
    Life,
    Load,
    Loaded,
    ModelState,
    Serve,
    Unload,
    Unwanted,
    Wanted,
    step,
)

# What happens next; a number picks one of the loads, or drains, that are under way.
_HAPPENINGS = st.lists(
    st.tuples(
        # Loads that begin and succeed are what makes the rest interesting.
        st.sampled_from(["want", "loaded"] * 3 + ["failed", "abandoned", "unwant", "drained"]),
        st.integers(0, 5),
    ),
    max_size=30,
)
_FAILED_RELOAD = [("want", 0), ("loaded", 0), ("want", 0), ("failed", 0)]
_TWO_RELOADS = [("want", 0), ("loaded", 0), ("want", 0), ("want", 0), ("loaded", 0), ("loaded", 0)]


class _World:
    """Carries actions out, as the registry would, and watches."""

    def __init__(self) -> None:
        self.life = Life()
        self.under_way: list[int] = []
        self.draining: list[int] = []
        self.held: set[int] = set()
        self.serving: int | None = None
        self.unloaded: list[int] = []

    def happen(self, what: str, pick: int) -> Event | None:
        event: Event | None = None
        if what == "want":
            event = Wanted()
        elif what == "unwant":
            event = Unwanted()
        elif what == "drained" and self.draining:
            event = Drained(self.draining.pop(pick % len(self.draining)))
        elif what in {"loaded", "failed", "abandoned"} and self.under_way:
            generation = self.under_way.pop(pick % len(self.under_way))
            if what == "failed":
                event = Failed(generation, "broken")
            else:
                self.held.add(generation)
                event = Loaded(generation) if what == "loaded" else Abandoned(generation, "another")
        if event is not None:
            self._tell(event)
        return event

    def _tell(self, event: Event) -> None:
        self.life, actions = step(self.life, event)
        for action in actions:
            match action:
                case Load(generation):
                    self.under_way.append(generation)
                case Serve(generation):
                    assert generation in self.held
                    self.serving = generation
                case Unload(generation):
                    self.held.remove(generation)
                    self.draining.append(generation)
                    self.unloaded.append(generation)
                    if self.serving == generation:
                        self.serving = None


@given(_HAPPENINGS)
@example(_FAILED_RELOAD)
@example(_TWO_RELOADS)
@settings(max_examples=200)
def test_what_serves_goes_on_until_another_has_loaded_or_it_is_not_wanted(
    happenings: list[tuple[str, int]],
) -> None:
    world = _World()
    for what, pick in happenings:
        before = world.life.serving
        event = world.happen(what, pick)
        if before is not None and not isinstance(event, Unwanted | Loaded):
            assert world.life.serving == before
            assert world.life.state is ModelState.READY
        if before is not None and isinstance(event, Loaded):
            assert world.life.state is ModelState.READY


@given(_HAPPENINGS)
@example(_FAILED_RELOAD)
@example(_TWO_RELOADS)
@settings(max_examples=200)
def test_what_was_loaded_is_served_or_unloaded_exactly_once(
    happenings: list[tuple[str, int]],
) -> None:
    world = _World()
    for what, pick in happenings:
        world.happen(what, pick)
        assert world.serving == world.life.serving
        assert world.held == ({world.serving} if world.serving is not None else set())
        assert len(world.unloaded) == len(set(world.unloaded))
        assert set(world.draining) == world.life.draining


@given(_HAPPENINGS)
@example(_FAILED_RELOAD)
@example(_TWO_RELOADS)
@settings(max_examples=200)
def test_the_state_says_what_is_the_case(happenings: list[tuple[str, int]]) -> None:
    world = _World()
    asked = False
    for what, pick in happenings:
        event = world.happen(what, pick)
        asked = asked or isinstance(event, Wanted)
        state = world.life.state
        assert (state is ModelState.READY) == (world.life.serving is not None)
        assert (state is ModelState.UNKNOWN) == (not asked)
        if state is ModelState.UNAVAILABLE:
            assert world.life.reason
            assert not world.draining
        if isinstance(event, Unwanted) and asked:
            assert state in {ModelState.UNLOADING, ModelState.UNAVAILABLE}
            assert world.life.reason == UNLOADED
        if state is ModelState.LOADING:
            assert world.life.loading in world.under_way


@given(_HAPPENINGS)
@settings(max_examples=100)
def test_when_all_has_ended_nothing_is_left_over(happenings: list[tuple[str, int]]) -> None:
    world = _World()
    for what, pick in [*happenings, ("unwant", 0), *[("loaded", 0)] * 40, *[("drained", 0)] * 80]:
        world.happen(what, pick)
    assert world.held == set()
    assert world.life.state in {ModelState.UNAVAILABLE, ModelState.UNKNOWN}
