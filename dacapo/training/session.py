"""A training session: build, resume, train, report."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dacapo.experiments.run import Run, score_header
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.figures.curves import draw_curves
from dacapo.figures.pictures import ShownVolumes, draw_regions, draw_sections
from dacapo.inference.blocks import predict
from dacapo.processes.energy import EnergyMeter
from dacapo.processes.memory import peak_device_memory_mib, peak_memory_mib, reset_peak_memory
from dacapo.runs import NoWriter, RunFolder, RunWriter
from dacapo.runs.checkpoint import CheckpointError
from dacapo.training.checkpoints import resume
from dacapo.training.diagnostics import startup_warnings
from dacapo.training.loop import training_loop
from dacapo.training.terminal import console, rates, show_scores, speed_line


def train_run(
    run: Run,
    folder: RunFolder,
    writer: RunWriter | NoWriter,
    reason_to_prune: Callable[[], str],
) -> ValidationScores:
    """Train a run to its end, and note how it ended.

    Raises:
        InputError: a loss is not finite.
    """
    reset_peak_memory()
    for line in run.datasplit.shared_context(run.sample_shape.context):
        console.print(line)
    for line in startup_warnings(run) if run.ranks.is_first else ():
        console.print(line)
    header = resume(run, folder, writer)
    is_resumed = bool(run.training_stats.iteration_stats)
    meter = EnergyMeter()
    try:
        pruned = training_loop(run, folder, writer, reason_to_prune)
    finally:
        energy = meter.close()
    table = replace(run.validation_scores.table(), header=header)
    show_scores(table, run.task.criterion)
    if line := speed_line(run.training_stats):
        console.print(line)
    rate = _draw(run, folder, writer) if isinstance(writer, RunWriter) else math.nan
    why = pruned or run.reason_to_stop()
    if why:
        console.print(f"{folder.path} is stopped: {why}")
    notes: dict[str, Any] = {"why": why} if why else {}
    if meter.source and not is_resumed:  # what earlier processes have used is not known
        notes |= {"energy_wh": energy, "energy_source": meter.source}
    writer.finish("stopped" if pruned else "done", **notes, **_cost(run, rate))
    return run.validation_scores


def finished_scores(run_config: RunConfig, folder: RunFolder) -> ValidationScores:
    """Show the scores of a finished run, without building its data or its network."""
    console.print(f"{folder.path} is finished; a larger num_iterations trains it further")
    history = folder.read_history()
    task = run_config.task_config.build()
    digests = folder.read_document(history).get("data", {}).get("digests", {}).get("validate", {})
    scores = ValidationScores(
        task.post_processor.enumerate_parameters(),
        [_Named(name) for name in digests],
        task.evaluator.evaluation_scores,
    )
    scores.scores = history.scores_like(score_header(scores, run_config.task_config, digests))
    if hint := history.scored_otherwise(run_config.task_config.scoring()):
        console.print(f"{folder.path}: {hint}")
    show_scores(scores.table() if scores.scores else history.table(), task.criterion)
    return scores


class _Named:
    """A dataset of which only the name is known."""

    def __init__(self, name: str) -> None:
        self.name = name


def _draw(run: Run, folder: RunFolder, writer: RunWriter) -> float:
    """Draw the history, and the best segmentation of the first validation dataset.

    Returns:
        The voxels of it that were predicted per second; NaN if none were.
    """
    name = f"{run.name}/{run.repetition}"
    curves = draw_curves(run.training_stats, run.validation_scores, run.task.criterion, name)
    console.print(f"curves:  {writer.add_file('curves.png', curves)}")
    best = run.validation_scores.best(run.task.criterion)
    if best is None:
        console.print(f"no picture: {run.task.criterion} could not be computed")
        return math.nan
    try:
        run.train_state.load_state(folder.read_checkpoint(best.iteration))
    except CheckpointError as error:
        console.print(f"no picture: {error}")
        return math.nan
    dataset = run.datasplit.validate[0]
    begin = time.perf_counter()
    prediction = predict(run, dataset)
    rate = float(prediction[0].size) / (time.perf_counter() - begin)
    setting = run.task.post_processor.enumerate_parameters()[best.parameters]
    shown = ShownVolumes.of(
        dataset, run.task.evaluator, prediction, run.task.predictor.channel_names,
        run.task.post_processor.process(prediction, setting),
    )  # fmt: skip
    title = f"{name}, iteration {best.iteration}: {best.text}"
    console.print(f"picture: {writer.add_file('picture.png', draw_sections(shown, title))}")
    regions = draw_regions(shown, title)
    if regions is not None:
        console.print(f"regions: {writer.add_file('regions.png', regions)}")
    return rate


def _cost(run: Run, predicted: float) -> dict[str, Any]:
    """Peak memory on the host and on the GPU in MiB (NaN if unknown), number of weights, voxels of
    output per second of training, by the median step, the speed of the loop, beside that of steps
    by themselves, and voxels that are predicted per second."""
    times = [stats.time for stats in run.training_stats.iteration_stats if stats.time > 0]
    voxels = math.prod(run.model.output_shape) * getattr(run.trainer.config, "batch_size", 1)
    rate, alone = rates(run.training_stats)
    return {
        "peak_memory_mib": peak_memory_mib(),
        "peak_device_memory_mib": peak_device_memory_mib(),
        "num_parameters": sum(p.numel() for p in run.model.parameters()),
        "iterations_per_second": rate,
        "loop_efficiency": rate / alone,
        "predicted_voxels_per_second": predicted,
        "voxels_per_second": voxels / statistics.median(times) if times else math.nan,
    }
