"""Loggers for TensorBoard, MLflow and Weights & Biases."""

from __future__ import annotations

import importlib
import os
import time
import zlib
from pathlib import Path
from typing import Any

from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.training.logger import MetricsLogger


class TensorBoard(MetricsLogger):
    """https://www.tensorflow.org/tensorboard"""

    def __init__(self, run: Run, folder: Path) -> None:
        super().__init__(run.task.criterion)
        _module("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(
            str(folder / "tensorboard"), purge_step=run.training_stats.trained_until() + 1
        )

    def log_metrics(self, iteration: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class MLflow(MetricsLogger):
    """https://mlflow.org: `MLFLOW_TRACKING_URI`, or a file below `runs_dir`."""

    def __init__(self, run: Run, folder: Path) -> None:
        super().__init__(run.task.criterion)
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
        self._pending: list[Any] = []

    def _experiment(self, mlflow: Any) -> str:
        """The id of the experiment, which another run may create at the same time."""
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
            self._pending.append(self._metric(name, value, now, iteration))
        if len(self._pending) >= 500:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._client.log_batch(self._id, metrics=self._pending)
            self._pending = []

    def close(self) -> None:
        self.flush()
        self._client.set_terminated(self._id)


class WandB(MetricsLogger):
    """https://wandb.ai, offline unless `WANDB_MODE` says otherwise."""

    def __init__(self, run: Run, folder: Path) -> None:
        super().__init__(run.task.criterion)
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
        """Do nothing, because wandb writes by itself."""

    def close(self) -> None:
        self._run.finish()


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
    """Flatten nested dicts to dotted keys.

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
