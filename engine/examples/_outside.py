"""What an example takes from packages that are not servetune's: trained weights, a tokenizer.

Owns: whether such a package is installed, the words that say how to install it, and reading a
file of it. Does not own: what the files are. A package is found by its distribution and its
files are read where they lie; it is never imported, so what it depends on need not be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from engine.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Outside:
    """A package of the index. ``whole``: it is imported, so that what it needs comes along."""

    package: str
    whole: bool = False

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install {'' if self.whole else '--no-deps '}{self.package}"

    @property
    def there(self) -> bool:
        """Whether it is installed."""
        try:
            distribution(self.package)
        except PackageNotFoundError:
            return False
        return True

    def read(self, file: str) -> bytes:
        """Read a file of it; ``file`` is relative to where packages are installed.

        Raises:
            Unsupported: the package is not installed, or this version of it lacks the file.
        """
        try:
            path = Path(str(distribution(self.package).locate_file(file)))
        except PackageNotFoundError as error:
            message = f"{self.package} is not installed: {self.install}"
            raise Unsupported(message) from error
        if not path.is_file():
            message = f"{path}: not there; another version of {self.package} is installed"
            raise Unsupported(message)
        return path.read_bytes()
