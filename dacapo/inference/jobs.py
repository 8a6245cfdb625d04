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
    from dacapo.experiments.tasks.post_processors.post_processor import Setting
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
class SharedWork:
    """What segmentations of one prediction with several settings share.

    Attributes:
        prediction: where it is kept, unless another command has written it.
        graph: where fragments and their edges are kept.
        cut: the setting that makes these.
    """

    prediction: KeptBlocks
    graph: KeptBlocks
    cut: Setting


@dataclass(frozen=True)
class SegmentationWork:
    """Does one pass of a segmentation, in a process of its own.

    Attributes:
        options: of the command, see `SegmentConfig`.
        folder: the unfinished output.
        name: of the pass.
        prediction, graph, cut: folders and setting, see `SharedWork`.
    """

    options: Any
    folder: str
    name: str
    prediction: str
    graph: str
    cut: Setting

    def __call__(self, worker: int) -> Work:
        _share_cores(self.options.num_workers)
        options = replace(self.options, device="cpu")
        prepared = prepare(options) if options.input else open_prediction(options)
        folder, prediction = Path(self.folder), prepared.prediction
        if options.input and Path(self.prediction).exists():
            source = zarr.open_array(self.prediction, mode="r")
            prediction = prepared.restored(replace(prediction, source=source))
        made = _segmentation_of(
            options, prepared, prediction, Path(self.graph), BlockLog(), self.cut, folder / ".work"
        )
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
    target: Path, prepared: Prepared, options: Any, shared: SharedWork, blocks: KeptBlocks,
    version: int, jobs: WorkerJobs | None = None,
) -> tuple[BlockwiseSegmentation, Array]:  # fmt: skip
    """Predict if need be, and write a segmentation, by several processes if the command asks for
    them."""
    graph, predicted = shared.graph, shared.prediction.work / "prediction"
    work = SegmentationWork(
        _of_worker(options), str(blocks.folder.absolute()), "", str(predicted.absolute()),
        str(graph.work.absolute()), shared.cut,
    )  # fmt: skip

    def segmentation_of(prediction: Array) -> BlockwiseSegmentation:
        return _segmentation_of(
            options, prepared, prediction, graph.work, graph, shared.cut, blocks.work
        )

    def ahead(name: str, starts: list[Start], log: KeptBlocks = graph) -> None:
        distribute(log, name, starts, replace(work, name=name), options.num_workers, jobs)

    prediction = prepared.prediction
    made = segmentation_of(prediction)
    if options.input and made.needs_prediction:
        prediction = predict_into(
            predicted, prepared.stored(), prepared, prepared.edge(None), shared.prediction,
            "prediction", jobs=jobs,
        )  # fmt: skip
        made = segmentation_of(prediction)
    made.run(ahead)
    labels = made.array(prediction)
    array = create_array(target, labels, options.chunk, None, version)
    blocks.edge = made.grid.edge
    ahead("level 0", made.grid.starts(), blocks)
    copy_blocks(labels, array, made.grid.edge, blocks, "level 0")
    return made, labels


def _segmentation_of(
    options: Any, prepared: Prepared, prediction: Array, work: Path, log: BlockLog, cut: Setting,
    decided: Path,
) -> BlockwiseSegmentation:  # fmt: skip
    """The segmentation of a prediction with the parameters of a command; see `SharedWork`."""
    post_processor, setting = prepared.model.choose_parameters(options.parameters)
    block = options.block or (2048 if prediction.dims == 2 else 192)
    edge = max(1, round(block / options.chunk)) * options.chunk
    grid = Grid(prediction.shape, edge, options.halo)
    return BlockwiseSegmentation(
        post_processor.blockwise(setting), prediction.source, grid, work / "segments", log,
        cut=post_processor.blockwise(cut), decided=decided,
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
