"""Screenshots of the three reports: wide and narrow, light and dark. For `scripts/screens`."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from analyzer.report import pdf
from support import report_pages
from support.chromium import Chromium

#: name, width and height of a screen, px
SCREENS = (("1440", 1440, 900), ("390", 390, 844))
SCHEMES = ("light", "dark")


def main() -> None:
    """Write ``REPORT-WIDTH-SCHEME.png`` of each report into a folder."""
    parser = argparse.ArgumentParser(prog="scripts/screens", description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the screenshots")
    parser.add_argument(
        "results", type=Path, nargs="*",
        help="folders of results: of the first the summary and the detailed report, of all of them "
        "the comparison; without any, of made measurements",
    )  # fmt: skip
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, Chromium(pdf.browser(os.environ)) as browser:
        folders = asked.results or report_pages.made_journals(Path(made))
        for name, file in report_pages.write(folders, asked.output / "pages").items():
            for size, width, height in SCREENS:
                for scheme in SCHEMES:
                    page = browser.page(width=width, height=height, scheme=scheme)
                    page.open(file)
                    target = asked.output / f"{name}-{size}-{scheme}.png"
                    page.screenshot(target)
                    print(target, *page.faults, sep="\n  ")  # noqa: T201 - a script's
                    page.close()


if __name__ == "__main__":
    main()
