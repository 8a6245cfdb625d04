"""What the processes that predict and segment one volume share: each builds it from the options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from dacapo.arrays.array import Array
from dacapo.arrays.kept import BlockLog, KeptBlocks
from dacapo.arrays.write import block_at, block_starts, copy_blocks, create_array
from dacapo.inference.instances import BlockwiseSegmentation, Grid
from dacapo.inference.volumes import Prepared, open_prediction, prepare
from dacapo.inference.workers import Start, Work, distribute
from dacapo.processes.cores import num_cores

if TYPE_CHECKING:
    from dacapo.launching.worker_jobs import WorkerJobs


@dataclass(frozen=True)
class PredictionWork:
    """Predicts blocks, in a process of its own.

    Attributes:
        options: of the command, see `VolumeOptions`.
        target: the zarr array to write to.
        edge: of the blocks, in voxels.
    """

    options: Any
    target: str
    edge: int

    def __call__(self, worker: int) -> Work:
        stored = prepare(on_device_of(self.options, worker)).stored()
        return _copying(stored, zarr.open_array(self.target, mode="r+"), self.edge)


@dataclass(frozen=True)
class SegmentationWork:
    """Does one pass of a segmentation, in a process of its own.

    Attributes:
        options: of the command, see `SegmentConfig`.
        folder: the unfinished output.
        name: of the pass.
    """

    options: Any
    folder: str
    name: str

    def __call__(self, worker: int) -> Work:
        _share_cores(self.options.num_workers)
        options = replace(self.options, device="cpu")
        prepared = prepare(options) if options.input else open_prediction(options)
        folder = Path(self.folder)
        prediction = prepared.prediction
        if options.input:
            source = zarr.open_array(str(folder / ".work" / "prediction"), mode="r")
            prediction = prepared.restored(replace(prediction, source=source))
        made = segmentation_of(options, prepared, prediction, folder / ".work", BlockLog())
        if self.name != "level 0":
            return made.work(self.name)
        made.open()
        target = zarr.open_array(str(folder / "0"), mode="r+")
        return _copying(made.array(prediction), target, made.grid.edge)


def predict_into(
    target: Path, stored: Array, prepared: Prepared, edge: int, blocks: KeptBlocks, name: str,
    version: int = 3, jobs: WorkerJobs | None = None,
) -> Array:  # fmt: skip
    """Write the prediction of a command, by several processes if it asks for them.

    Returns:
        The prediction as it was stored.
    """
    options = prepared.options
    array = create_array(target, stored, prepared.chunk, None, version)
    work = PredictionWork(_of_worker(options), str(target.absolute()), edge)
    distribute(blocks, name, block_starts(stored.shape, edge), work, options.num_workers, jobs)
    copy_blocks(stored, array, edge, blocks, name)
    return prepared.restored(replace(stored, source=array))


def segment_into(
    target: Path, made: BlockwiseSegmentation, prediction: Array, options: Any, blocks: KeptBlocks,
    version: int, jobs: WorkerJobs | None = None,
) -> Array:  # fmt: skip
    """Write a segmentation, by several processes if the command asks for them."""

    def ahead(name: str, starts: list[Start]) -> None:
        work = SegmentationWork(_of_worker(options), str(blocks.folder.absolute()), name)
        distribute(blocks, name, starts, work, options.num_workers, jobs)

    made.run(ahead)
    labels = made.array(prediction)
    array = create_array(target, labels, options.chunk, None, version)
    ahead("level 0", made.grid.starts())
    copy_blocks(labels, array, made.grid.edge, blocks, "level 0")
    return labels


def segmentation_of(
    options: Any, prepared: Prepared, prediction: Array, work: Path, log: BlockLog
) -> BlockwiseSegmentation:
    """The segmentation of a prediction with the parameters of a command."""
    post_processor, setting = prepared.model.choose_parameters(options.parameters)
    block = options.block or (2048 if prediction.dims == 2 else 192)
    edge = max(1, round(block / options.chunk)) * options.chunk
    return BlockwiseSegmentation(
        post_processor.blockwise(setting), prediction.source,
        Grid(prediction.shape, edge, options.halo), work / "segments", log,
    )  # fmt: skip


def open_jobs(options: Any) -> WorkerJobs | None:
    """The jobs of the cluster that a command asks for.

    Raises:
        InputError: see `open_worker_jobs`.
    """
    if options.workers is None:
        return None
    from dacapo.launching.worker_jobs import open_worker_jobs

    return open_worker_jobs(options.workers, options.launcher)


def _of_worker(options: Any) -> Any:
    """The options for a process: a job of a cluster has its machine for itself."""
    if options.workers is None:
        return options
    return replace(options, workers=None, launcher={}, num_workers=1)


def on_device_of(options: Any, worker: int) -> Any:
    """The options for one of several processes: they share the GPUs, or the cores."""
    import torch

    num_gpus = torch.cuda.device_count()
    if options.device in ("auto", "cuda") and num_gpus:
        return replace(options, device=f"cuda:{worker % num_gpus}")
    _share_cores(options.num_workers)
    return options


def _share_cores(num_workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, num_cores() // num_workers))


def _copying(array: Array, target: Any, edge: int) -> Work:
    def copy(start: Start) -> None:
        place, roi = block_at(array, start, edge)
        target[(..., *place)] = array.read(roi)

    return copy
