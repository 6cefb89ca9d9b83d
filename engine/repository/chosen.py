"""Where the winner of a profile lies: ``--chosen NAME`` or ``--chosen PATH``.

``analyze profile`` leaves the winning configuration, as a model repository of its own, in
``<results>/<model>/chosen``. Owns: finding that folder, and what was said of it. Does not own: what
is in it.
"""

from __future__ import annotations

from pathlib import Path

from engine.errors import NotFound

FOLDER = "chosen"
#: beside it, what the winner is and how sure that is, in a line
WORDS = f"{FOLDER}.txt"


def find_chosen(wanted: str, results: Path) -> Path:
    """Find the model repository that holds a profile's winner.

    ``wanted`` is a model's name, looked up below ``results``; or a path: the folder of a
    model's results, or its ``chosen`` folder.

    Raises:
        NotFound: no profile has left anything there.
    """
    named, path = results / wanted, Path(wanted)
    for place in (named / FOLDER, path / FOLDER, path):
        if place.name == FOLDER and _holds_models(place):
            return place
    if named.is_dir() or path.is_dir():
        folder = named if named.is_dir() else path
        message = (
            f"{folder}: no chosen configuration there; "
            f"`analyze profile --model {folder.name}` leaves one when it ends"
        )
        raise NotFound(message)
    message = f"{named / FOLDER}: not found; `analyze profile --model {path.name}` makes it"
    if others := _others(results):
        message += f" (there are: {', '.join(others)})"
    raise NotFound(message)


def words_of(chosen: Path) -> str:
    """Return what the profile said of its winner; "" where it left nothing."""
    path = chosen.parent / WORDS
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _holds_models(place: Path) -> bool:
    return any(place.glob("*/config.pbtxt"))


def _others(results: Path) -> list[str]:
    if not results.is_dir():
        return []
    return sorted(one.name for one in results.iterdir() if _holds_models(one / FOLDER))
