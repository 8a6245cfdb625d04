"""The command line as a user types it: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dacapo.runs import History, RunFolder

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "xarray", "scipy", "zarr", "matplotlib", "pandas")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dacapo.train", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "CI": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def run(cwd: Path, *arguments: str, program: list[str] | None = None) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    done = subprocess.run(
        program or command(*arguments),
        cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def imports_nothing_heavy(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command in a process that says afterwards what it has imported."""
    code = (
        "import sys, atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('HEAVY', [m for m in heavy if m in sys.modules]))\n"
        f"sys.argv = ['dacapo-train', *{list(arguments)!r}]\n"
        "from dacapo.train import main\n"
        "main()\n"
    )
    status, out, err = run(cwd, program=[sys.executable, "-c", code])
    assert "HEAVY []" in out, (out, err)
    return status, out.replace("HEAVY []\n", ""), err


def history(runs_dir: Path, name: str = "a", repetition: int = 0) -> History:
    return RunFolder(runs_dir / name / str(repetition)).read_history()
