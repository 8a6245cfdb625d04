"""Curves and snapshots of a run while it trains: csv files always, other programs on demand."""

from __future__ import annotations

import importlib
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.runs.table import Table

if TYPE_CHECKING:
    from dacapo.experiments.run import Run
    from dacapo.experiments.trainers.trainer import Batch
    from dacapo.runs import RunFolder

_STEP = ("loss", "time", "waited", "learning_rate", "gradient_norm")


class Logger(Protocol):
    """Is told numbers by name, such as `training/loss`, after so many steps."""

    def log_metrics(self, iteration: int, values: dict[str, float]) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Loggers:
    """All that watch one run; nobody, in processes that do not write."""

    def __init__(self, run: Run, folder: RunFolder) -> None:
        self._run, self._folder = run, folder
        self._loggers: list[Logger] = []
        self._tables: list[Table] = []
        if not run.ranks.is_first:
            return
        begin = run.training_stats.trained_until()
        for name in run.trainer.loggers:
            self._loggers.append(_LOGGERS[name](run, folder.path, begin))
        criteria = run.validation_scores.criteria
        columns = ("iteration", "dataset", "parameters", *criteria)
        self._tables = [
            Table(folder.path / "training.csv", ("iteration", *_STEP), begin),
            Table(folder.path / "validation.csv", columns, 0),
        ]
        for scores in run.validation_scores.scores:  # of earlier processes
            self._tabulate(run.validation_scores.subscores([scores]))

    def step(self, stats: TrainingIterationStats) -> None:
        """After a step."""
        values = {name: float(getattr(stats, name)) for name in _STEP}
        for table in self._tables[:1]:
            table.add(stats.iteration, *(f"{v:.6g}" for v in values.values()))
        for logger in self._loggers:
            logger.log_metrics(stats.iteration + 1, {f"training/{k}": v for k, v in values.items()})

    def validated(self, scores: ValidationScores) -> None:
        """After a validation; programs are told the scores with the parameters that are best."""
        latest = scores.scores[-1]
        self._tabulate(scores)
        best = scores.subscores([latest]).best(self._run.task.criterion)
        if best is not None:
            values = {
                f"validation/{dataset.name}/{criterion}": value
                for dataset, rows in zip(scores.datasets, latest.scores, strict=True)
                for criterion, value in zip(scores.criteria, rows[best.parameters], strict=True)
            }
            for logger in self._loggers:
                logger.log_metrics(latest.iteration, values)
        self.flush()

    def _tabulate(self, scores: ValidationScores) -> None:
        latest = scores.scores[-1]
        for table in self._tables[1:]:
            for dataset, rows in zip(scores.datasets, latest.scores, strict=True):
                for label, row in zip(scores.parameter_labels, rows, strict=True):
                    table.add(latest.iteration, dataset.name, label, *(f"{v:.6g}" for v in row))

    def snapshot(self, batch: Batch) -> None:
        """Keep a batch and what the network says of it, every `trainer.snapshot_interval`."""
        interval, done = self._run.trainer.snapshot_interval, batch.iteration + 1
        if not interval or done % interval or not self._run.ranks.is_first:
            return
        self._run.model.eval()
        with torch.no_grad():
            prediction = self._run.forward(batch.raw[:1])[0]
        volumes = {"raw": batch.raw[0], "target": batch.target[0], "weight": batch.weight[0]}
        arrays = {k: v.cpu().numpy() for k, v in {**volumes, "prediction": prediction}.items()}
        write_snapshot(self._folder.snapshot(done), arrays, self._run)

    def flush(self) -> None:
        """Write what has gathered."""
        for table in self._tables:
            table.flush()
        for logger in self._loggers:
            logger.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self.flush()
        for logger in self._loggers:
            logger.close()


@contextmanager
def open_loggers(run: Run, folder: RunFolder) -> Iterator[Loggers]:
    """The loggers that `trainer.loggers` names; they go on where an earlier process stopped."""
    loggers = Loggers(run, folder)
    try:
        yield loggers
    finally:
        loggers.close()


def write_snapshot(path: Path, volumes: dict[str, np.ndarray[Any, Any]], run: Run) -> None:
    """OME-Zarr images that lie over each other: (C, *spatial) of input or of output size."""
    from dacapo.arrays.array import Array
    from dacapo.arrays.write import write_ome_zarr

    shape, gt = run.sample_shape, run.datasplit.train[0].gt
    for name, volume in volumes.items():
        is_input = name == "raw"
        voxel_size = shape.input_voxel_size if is_input else shape.output_voxel_size
        corner = voxel_size * 0 if is_input else shape.context
        image = Array(volume, voxel_size, corner, gt.unit, gt.axis_names, name)
        target = path / f"{name}.ome.zarr"
        if not target.exists():  # of an earlier process that came so far
            write_ome_zarr(target, image, levels=1)


class _TensorBoard:
    """https://www.tensorflow.org/tensorboard"""

    def __init__(self, run: Run, folder: Path, begin: int) -> None:
        _module("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=begin + 1)

    def log_metrics(self, iteration: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """https://mlflow.org: `MLFLOW_TRACKING_URI`, or a file below `runs_dir`."""

    def __init__(self, run: Run, folder: Path, begin: int) -> None:
        mlflow = _module("mlflow", "mlflow")
        self._metric = importlib.import_module("mlflow.entities").Metric
        local = f"sqlite:///{(folder.parent.parent / 'mlflow.db').absolute()}"
        uri = os.environ.get("MLFLOW_TRACKING_URI", local)
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        number = self._experiment(mlflow)
        label = f"{run.name}/{run.repetition}"
        found = self._client.search_runs([number], f"tags.`mlflow.runName` = '{label}'")
        if found:
            self._id = found[0].info.run_id
        else:
            self._id = self._client.create_run(number, run_name=label).info.run_id
            for key, value in _flat(encode(run.config)).items():
                self._client.log_param(self._id, key, value[:500])
        self._gathered: list[Any] = []

    def _experiment(self, mlflow: Any) -> str:
        """The number of the experiment; another run may make it at the same time."""
        found = self._client.get_experiment_by_name("dacapo")
        if found is None:
            try:
                return str(self._client.create_experiment("dacapo"))
            except mlflow.exceptions.MlflowException:
                found = self._client.get_experiment_by_name("dacapo")
                if found is None:
                    raise
        return str(found.experiment_id)

    def log_metrics(self, iteration: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        for name, value in values.items():
            self._gathered.append(self._metric(name, value, now, iteration))
        if len(self._gathered) >= 500:
            self.flush()

    def flush(self) -> None:
        if self._gathered:
            self._client.log_batch(self._id, metrics=self._gathered)
            self._gathered = []

    def close(self) -> None:
        self._client.set_terminated(self._id)


class _WandB:
    """https://wandb.ai, offline unless `WANDB_MODE` says otherwise."""

    def __init__(self, run: Run, folder: Path, begin: int) -> None:
        wandb = _module("wandb", "wandb")
        label = f"{run.name}/{run.repetition}"
        self._run = wandb.init(
            project="dacapo",
            name=label,
            id=f"{zlib.crc32(str(folder.absolute()).encode()):08x}",
            resume="allow",
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=encode(run.config),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log_metrics(self, iteration: int, values: dict[str, float]) -> None:
        self._run.log({"iteration": iteration, **values})

    def flush(self) -> None:
        """It writes by itself."""

    def close(self) -> None:
        self._run.finish()


_LOGGERS: dict[str, type[_TensorBoard | _MLflow | _WandB]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WandB,
}


def _module(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise InputError(
            f"trainer.loggers={name}: not installed; pip install 'dacapo[{extra}]'"
        ) from error


def _flat(node: Any, key: str = "") -> dict[str, str]:
    """Nested dicts as dotted keys.

    >>> _flat({"a": {"b": 1}, "c": [2]})
    {'a.b': '1', 'c': '[2]'}
    """
    if not isinstance(node, dict):
        return {key: str(node)}
    return {
        name: text
        for part, value in node.items()
        for name, text in _flat(value, f"{key}.{part}" if key else str(part)).items()
    }


def snapshots(folder: RunFolder) -> Sequence[int]:
    """The iterations of a run's snapshots."""
    return sorted(int(p.name) for p in (folder.path / "snapshots").glob("[0-9]*"))
