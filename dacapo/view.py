"""`python -m dacapo.view run=NAME/0`: snapshots of a run in neuroglancer, in the browser."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError


@config(None)
@dataclass(kw_only=True)
class ViewConfig(Config):
    """Open a snapshot of a run, which trainer.snapshot_interval keeps, in neuroglancer."""

    run: str
    """The run: its folder, or name/repetition below runs_dir."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    iteration: int | None = None
    """Iteration of the snapshot (default: the latest)."""
    address: str = "127.0.0.1"
    """Address to serve at; 0.0.0.0 allows access from other machines."""
    port: int = ranged(0, low=0, high=65535)
    """Port to serve at (default: any free one)."""


def main() -> None:
    """The command line."""
    run_command(ViewConfig, view)


def view(options: ViewConfig) -> None:
    """Serve a snapshot until Ctrl-C."""
    from dacapo.figures.neuroglancer import show, snapshot_layers
    from dacapo.runs import RunFolder, missing_run

    path = Path(options.run)
    folder = RunFolder(path if path.is_dir() else Path(options.runs_dir) / options.run)
    if not folder.holds_run():
        raise InputError(missing_run(options.run, Path(options.runs_dir)))
    layers = snapshot_layers(folder, options.iteration)
    with show(layers, options.address, options.port) as url:
        print(f"{url}\nCtrl-C ends it", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
