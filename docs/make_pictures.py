"""Draw the pictures of the front page again: `python docs/make_pictures.py`.

Trains the embedded example, compares two tasks on it, and takes a picture of the report with
Chromium. This takes half an hour on two CPU cores.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
_WIDTH, _HEIGHT = 1100, 900
_SWEEP = [
    "-m", "task=affinities,boundary", "task.criterion=voi", "repetition=range(4)",
    "num_iterations=150", "validation_interval=150", "trainer.num_threads=1",
]  # fmt: skip


def main() -> None:
    """Draw `picture.png` and `report.png`."""
    find_browser()
    with tempfile.TemporaryDirectory() as folder:
        draw_example(Path(folder))
        draw_report(Path(folder))


def draw_example(folder: Path) -> None:
    """The segmentation of the embedded example."""
    dacapo(folder, "train", "name=example")
    shutil.copyfile(folder / "runs" / "example" / "0" / "picture.png", DOCS / "picture.png")


def find_browser() -> str:
    """Chromium or Chrome."""
    for name in ("chromium", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise SystemExit("a picture of the report needs chromium or google-chrome")


def draw_report(folder: Path) -> None:
    """The top of the report of a comparison."""
    dacapo(folder, "train", *_SWEEP, "runs_dir=compared")
    dacapo(folder, "compare", "runs_dir=compared", "report=report.html")
    subprocess.run(
        [
            find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--virtual-time-budget=8000", f"--window-size={_WIDTH},{_HEIGHT}",
            f"--screenshot={DOCS / 'report.png'}", (folder / "report.html").as_uri(),
        ],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def dacapo(folder: Path, command: str, *arguments: str) -> None:
    """Run a command in a folder."""
    subprocess.run([sys.executable, "-m", f"dacapo.{command}", *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    main()
