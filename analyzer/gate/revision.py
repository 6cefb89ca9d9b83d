"""Model folders as a git revision had them.

Owns the asking of git. ``git archive`` is used, not a worktree: it writes nothing into the
repository that an interruption could leave behind, and it runs filters, so that Git LFS's files
come whole.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import UsageError

_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A git checkout (its top folder) and a commit of it."""

    top: Path
    commit: str

    @classmethod
    def of(cls, folder: Path, ref: str) -> Checkout:
        """Find the checkout that a folder lies in, and what ``ref`` is in it.

        Raises:
            UsageError: there is no git, no checkout, or no such revision.
        """
        top = _git(folder, "rev-parse", "--show-toplevel")
        if top.returncode:
            raise UsageError(
                f"git:{ref}: {folder} lies in no git checkout; pass --model-repository PATH of one "
                f"({_said(top)})"
            )
        root = Path(top.stdout.decode().strip())
        found = _git(
            root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
        if found.returncode:
            raise UsageError(
                f"git:{ref}: {root} knows no such revision; in CI fetch it first, such as "
                f"`git fetch --depth 1 origin {ref.removeprefix('origin/')}`"
            )
        return cls(root, found.stdout.decode().strip())

    def folder(self, now: Path, into: Path) -> Path:
        """Write what a folder held at the commit below ``into``; return where.

        Raises:
            UsageError: it is outside of the checkout, or was not there.
        """
        inner = self._inner(now)
        made = _git(self.top, "archive", "--format=tar", self.commit, "--", inner)
        if made.returncode:
            raise UsageError(f"git:{self.commit[:12]}: {inner} was not there ({_said(made)})")
        try:
            with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
                # Python before 3.11.4 has no filters; what git packs lies below its folder too.
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(into)  # noqa: S202 - filtered, and git's own
        except tarfile.TarError as error:
            raise UsageError(
                f"git:{self.commit[:12]}: {inner} cannot be written as it was: {error}"
            ) from error
        written = into / inner
        for path in sorted(written.rglob("*")):
            if path.is_file() and _is_pointer(path):
                raise UsageError(
                    f"git:{self.commit[:12]}: {path.relative_to(into)} is a Git LFS pointer; run "
                    f"`git lfs install && git lfs fetch origin {self.commit[:12]}` first"
                )
        return written

    def text(self, now: Path) -> str | None:
        """Return what a file said at the commit; None where it was not there, or is outside."""
        try:
            inner = self._inner(now)
        except UsageError:
            return None
        found = _git(self.top, "show", f"{self.commit}:{inner}")
        return None if found.returncode else found.stdout.decode("utf-8", "replace")

    def untracked(self, now: Path) -> tuple[str, ...]:
        """Name the files in a folder that git does not track, ignored ones too, from the folder."""
        inner = self._inner(now)
        found = _git(self.top, "ls-files", "--others", "-z", "--", inner)
        names = [each for each in found.stdout.decode().split("\0") if each]
        return tuple(str(Path(each).relative_to(inner)) for each in names)

    def _inner(self, path: Path) -> str:
        try:
            return path.resolve().relative_to(self.top.resolve()).as_posix()
        except ValueError:
            raise UsageError(
                f"{path} lies outside of {self.top}, whose revision was asked for"
            ) from None


def filled(checkout: Checkout, now: Path, then: Path) -> list[str]:
    """Link the files that git does not track into the folder of then; return their names.

    A file of the model that was tracked then, and is not now, stays the old one.
    """
    linked = []
    for name in checkout.untracked(now):
        target = then / name
        if target.exists() or target.is_symlink():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to((now / name).resolve())
        linked.append(f"{now.name}/{name}")
    return linked


def commit_of(folder: Path) -> str:
    """Return the commit of a folder's checkout, with "-dirty" where files differ; or ""."""
    if shutil.which("git") is None:
        return ""
    found = _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--match=")
    return "" if found.returncode else found.stdout.decode().strip()


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - git, with what the user named behind "--"
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - whichever git is on the path
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("git:REF needs git, which is not installed here") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode("utf-8", "replace").split()) or f"exit {done.returncode}"
