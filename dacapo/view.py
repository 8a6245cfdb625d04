"""`python -m dacapo.view`: volumes, or snapshots of a run, in neuroglancer, in the browser."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.figures.neuroglancer import Layer


@config(None)
@dataclass(kw_only=True)
class ViewConfig(Config):
    """Open volumes, or a snapshot of a run that trainer.snapshot_interval keeps, in
    neuroglancer."""

    raw: str | None = None
    """Raw: file.h5:dataset, stack.tif, a zarr, a URL..."""
    prediction: str | None = None
    """What dacapo.predict has written."""
    gt: str | None = None
    """Ground truth."""
    segmentation: str | None = None
    """Ids, such as what dacapo.segment has written."""
    voxel_size: list[float] | None = None
    """The voxel size, per axis (z, y, x), of files that do not tell it, such as a TIFF."""
    unit: str | None = None
    """Unit of voxel_size (nm, um...)."""
    sites: str | None = None
    """What dacapo.score sites= has written: splits and merges to jump to."""
    run: str | None = None
    """The run whose snapshot to open instead: its folder, or name/repetition below runs_dir."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    iteration: int | None = None
    """Iteration of the snapshot (default: the latest)."""
    output: str | None = None
    """Write a page, such as view.html, with sections through the sites or the middle instead; it
    needs neither neuroglancer nor a server."""
    state: str | None = None
    """File of what you see, such as view.json: position, zoom, chosen segments and notes. It is
    read if it exists, and written when the viewer ends; others open it with their own copy of the
    volumes."""
    address: str = "127.0.0.1"
    """Address to serve at; 0.0.0.0 allows access from other machines."""
    port: int = ranged(0, low=0, high=65535)
    """Port to serve at (default: any free one)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, suffix in (("output", ".html"), ("state", ".json")):
            path = getattr(self, name)
            if path is not None and Path(path).suffix != suffix:
                raise InputError(f"{name}={path}: the name must end in {suffix}")
        if self.output is not None and self.state is not None:
            raise InputError("state is of the viewer, and output writes a page: give one of them")


def main() -> None:
    """The command line."""
    run_command(ViewConfig, view)


def view(options: ViewConfig) -> None:
    """Serve layers until Ctrl-C, or write a page."""
    from dacapo.figures.neuroglancer import check_alike, file_layers, show, site_points
    from dacapo.figures.volume_page import volume_page
    from dacapo.processes.files import check_writable, write_atomically

    layers = file_layers(
        options.raw, options.prediction, options.gt, options.segmentation,
        options.voxel_size, options.unit,
    )  # fmt: skip
    if bool(layers) == (options.run is not None):
        raise InputError("give run=, or some of raw=, prediction=, gt= and segmentation=")
    if options.sites is not None and options.run is not None:
        raise InputError("sites are of volumes: give raw= or segmentation=, not run=")
    layers = layers or _snapshot(str(options.run), options)
    points = site_points(options.sites) if options.sites is not None else {}
    check_alike(layers, points)
    if options.output is not None:
        check_writable(Path(options.output).parent, "output")
        write_atomically(Path(options.output), volume_page(layers, points).encode())
        print(f"page: {options.output}")
        return
    state = None if options.state is None else Path(options.state)
    if state is not None:
        check_writable(state.parent, "state")
    with show(layers, options.address, options.port, points, state) as url:
        print(f"{url}\nCtrl-C ends it", flush=True)
        threading.Event().wait()


def _snapshot(run: str, options: ViewConfig) -> list[Layer]:
    from dacapo.figures.neuroglancer import snapshot_layers
    from dacapo.runs import RunFolder, missing_run

    path = Path(run)
    folder = RunFolder(path if path.is_dir() else Path(options.runs_dir) / run)
    if not folder.holds_run():
        raise InputError(missing_run(run, Path(options.runs_dir)))
    return snapshot_layers(folder, options.iteration)


if __name__ == "__main__":
    main()
