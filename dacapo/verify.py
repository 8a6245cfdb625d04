"""`python -m dacapo.verify run=NAME/0`: repeat the beginning of a run and a validation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import printable


@config(None)
@dataclass(kw_only=True)
class VerifyConfig(Config):
    """Repeat the first steps and the last validation of a run, and compare code and data.

    On the CPU, results must be equal to the bit; on a GPU, within 1 %. The run is not changed.
    """

    run: str
    """The run: its folder, or name/repetition below runs_dir."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    steps: int = ranged(10, low=1)
    """Number of steps to repeat, at most until the first validation."""
    device: str | None = None
    """cpu, cuda, cuda:1... (default: as the run chooses it)."""


def main() -> None:
    """The command line."""
    run_command(VerifyConfig, verify_command)


def verify_command(options: VerifyConfig) -> int:
    """Repeat and compare; the exit status is 1 where steps or scores differ."""
    from dacapo.inference.volumes import find_run
    from dacapo.training.terminal import console
    from dacapo.training.verification import verify

    folder = find_run(options.run, Path(options.runs_dir))
    status = 0
    for found in verify(folder, options.steps, options.device):
        word = {True: "same", False: "DIFFERENT", None: "unknown"}[found.is_same]
        console.print(printable(f"{found.what}: {word}: {found.text}"))
        if found.is_same is False and found.what not in ("code", "data"):
            status = 1
    return status


if __name__ == "__main__":
    main()
