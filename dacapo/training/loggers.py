"""The loggers of a run: csv files always, snapshots and other programs on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dacapo.experiments.run import Run
from dacapo.experiments.trainers.trainer import Batch
from dacapo.experiments.trainers.trainer_config import LoggerName
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.runs import RunFolder
from dacapo.runs.snapshots import write_snapshot
from dacapo.runs.table import Table
from dacapo.training.logger import STEP_COLUMNS, Logger


class CsvLogger(Logger):
    """`training.csv` and `validation.csv` in the run's folder, for spreadsheets and scripts."""

    def __init__(self, run: Run, folder: Path) -> None:
        begin = run.training_stats.trained_until()
        scores = run.validation_scores
        columns = ("iteration", "dataset", "parameters", *scores.criteria)
        self._steps = Table(folder / "training.csv", ("iteration", *STEP_COLUMNS), begin)
        self._scores = Table(folder / "validation.csv", columns, 0)
        for earlier in scores.scores:
            self.log_scores(scores.subscores([earlier]))

    def log_step(self, stats: TrainingIterationStats) -> None:
        values = (f"{getattr(stats, name):.6g}" for name in STEP_COLUMNS)
        self._steps.add(stats.iteration, *values)

    def log_scores(self, scores: ValidationScores) -> None:
        latest = scores.scores[-1]
        for dataset, rows in zip(scores.datasets, latest.scores, strict=True):
            for label, row in zip(scores.parameter_labels, rows, strict=True):
                values = (f"{v:.6g}" for v in row)
                self._scores.add(latest.iteration, dataset.name, label, *values)

    def flush(self) -> None:
        self._steps.flush()
        self._scores.flush()

    def close(self) -> None:
        self._steps.close()
        self._scores.close()


class Loggers:
    """All loggers of a run; none in processes that do not write."""

    def __init__(self, run: Run, folder: RunFolder) -> None:
        self._run, self._folder = run, folder
        self._loggers: list[Logger] = []
        if run.ranks.is_first:
            names = run.trainer.config.loggers
            self._loggers = [CsvLogger(run, folder.path), *(_open(n, run, folder) for n in names)]

    def log_step(self, stats: TrainingIterationStats, batch: Batch) -> None:
        """Log a step."""
        for logger in self._loggers:
            logger.log_step(stats)
        self._snapshot(batch)

    def log_scores(self, scores: ValidationScores) -> None:
        """Log a validation."""
        for logger in self._loggers:
            logger.log_scores(scores)
            logger.flush()

    def flush(self) -> None:
        """Write buffered metrics."""
        for logger in self._loggers:
            logger.flush()

    def close(self) -> None:
        """Finish logging."""
        for logger in self._loggers:
            logger.close()

    def _snapshot(self, batch: Batch) -> None:
        """Keep a batch and its prediction every `trainer.snapshot_interval` iterations."""
        interval, done = self._run.trainer.config.snapshot_interval, batch.iteration + 1
        if not interval or done % interval or not self._loggers:
            return
        self._run.model.eval()
        with torch.no_grad():
            prediction = self._run.train_state.forward(batch.raw[:1])[0]
        volumes = {"raw": batch.raw[0], "target": batch.target[0], "weight": batch.weight[0]}
        arrays = {k: v.cpu().numpy() for k, v in {**volumes, "prediction": prediction}.items()}
        write_snapshot(self._folder.snapshot(done), arrays, self._run)


@contextmanager
def open_loggers(run: Run, folder: RunFolder) -> Iterator[Loggers]:
    """The loggers that `trainer.loggers` names; they continue the curves of earlier processes."""
    loggers = Loggers(run, folder)
    try:
        yield loggers
    finally:
        loggers.close()


def _open(name: LoggerName, run: Run, folder: RunFolder) -> Logger:
    from dacapo.training import trackers

    kinds: dict[LoggerName, Callable[..., Logger]] = {
        LoggerName.tensorboard: trackers.TensorBoard,
        LoggerName.mlflow: trackers.MLflow,
        LoggerName.wandb: trackers.WandB,
    }
    return kinds[name](run, folder.path)
