"""The configuration of one run, built in Python or composed by Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dacapo.config import Config, check_ranges, config, identity, identity_hash, ranged
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.architectures import ArchitectureConfig
from dacapo.experiments.datasplits import DataSplitConfig
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.starts import StartConfig
from dacapo.experiments.tasks import TaskConfig
from dacapo.experiments.trainers import TrainerConfig

_MAX_NAME = 200
"""Bytes in the name of a folder; file systems take 255."""
GROUPS = ("task", "architecture", "trainer", "datasplit", "start")


@config(None)
@dataclass(kw_only=True)
class TrainConfig(Config):
    """Train a model, validate it and keep its scores."""

    task: TaskConfig
    """What to predict, how to segment from it, and how to score the result."""
    architecture: ArchitectureConfig
    """The network."""
    trainer: TrainerConfig
    """How batches are made and weights are updated."""
    datasplit: DataSplitConfig
    """The data for training and validation."""
    start: StartConfig | None = None
    """The weights to begin with (default: random ones)."""
    halving: HalvingConfig | None = None
    """Stop runs of a sweep that fall behind others (default: never)."""
    name: str | None = None
    """Name of the run's folder (default: task_architecture_hash, with a hash of all options that
    determine the result)."""
    repetition: int = ranged(0, low=0)
    """Seeds everything random; runs with equal repetitions can be compared in pairs."""
    num_iterations: int = ranged(low=1)
    """Training steps in all; more of them later extend a finished run."""
    validation_interval: int = ranged(1000, low=1)
    """Steps between validations; the last step is always validated."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    retry: bool = False
    """Retry runs that have failed twice with the same traceback."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs_dir.strip():
            raise InputError("runs_dir is empty: give a folder")


@config(None)
@dataclass
class RunConfig(Config):
    """The options that determine a run; `Run(run_config)` builds it."""

    task_config: TaskConfig
    """What to predict, how to segment from it, and how to score the result."""
    architecture_config: ArchitectureConfig
    """The network."""
    trainer_config: TrainerConfig
    """How batches are made and weights are updated."""
    datasplit_config: DataSplitConfig
    """The data for training and validation."""
    name: str
    """Names the run's folder, together with the repetition; '' takes the default, made of the names
    of the classes, which are those of the options where a class has only one."""
    repetition: int = ranged(low=0)
    """Seeds everything random."""
    num_iterations: int = ranged(low=1)
    """Training steps in all."""
    validation_interval: int = ranged(1000, low=1)
    """Steps between validations; the last step is always validated."""
    start_config: StartConfig | None = None
    """The weights to begin with; None: random ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trainer_config.schedule_iterations is None:
            self.trainer_config = replace(
                self.trainer_config, schedule_iterations=self.num_iterations
            )
        task_axes, dims = self.task_config.num_axes, self.architecture_config.num_axes
        if None not in (task_axes, dims) and task_axes != dims:
            raise InputError(
                f"task.neighborhood has offsets of {task_axes} axes, but architecture.input_shape "
                f"has {dims}"
            )
        self.name = self.name or self._default_name({})
        if len(self.name.encode()) > _MAX_NAME:
            raise InputError(f"name={self.name:.20}...: give at most {_MAX_NAME} characters")
        if not re.fullmatch(r"\w[\w.+=,-]*", self.name):
            raise InputError(
                f"name={self.name}: a name becomes a folder, so give letters, digits and _ - . = +"
            )

    @classmethod
    def from_hydra(cls, cfg: DictConfig, choices: Mapping[str, str] | None = None) -> RunConfig:
        """The run that a composed config describes.

        Args:
            cfg: composed from `conf/train.yaml`.
            choices: group -> option, for the default name.

        Raises:
            InputError: a value is missing or does not fit; the message names its key.
        """
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise InputError(f"{', '.join(missing)}: required, give a value")
        check_ranges(cfg)
        options = OmegaConf.to_object(cfg)
        assert isinstance(options, TrainConfig)
        _refuse_unknown(options, "")
        run_config = cls(
            options.task,
            options.architecture,
            options.trainer,
            options.datasplit,
            options.name or "",
            options.repetition,
            options.num_iterations,
            options.validation_interval,
            options.start,
        )
        if not options.name:
            run_config.name = run_config._default_name(choices or {})
        return run_config

    def configs(self) -> dict[str, Any]:
        """Group -> config, as on the command line."""
        return {group: getattr(self, f"{group}_config") for group in GROUPS}

    def identity(self) -> dict[str, Any]:
        """All options that determine the result of a run, except its seed and its length."""
        decides = self.trainer_config.depends_on_validation
        parts = {group: identity(node, decides) for group, node in self.configs().items()}
        if decides:
            parts["validation_interval"] = self.validation_interval
        return parts

    def _default_name(self, choices: Mapping[str, str]) -> str:
        task, architecture = (
            choices.get(group) or _option(getattr(self, f"{group}_config"))
            for group in ("task", "architecture")
        )
        return f"{task}_{architecture}_{identity_hash(self.identity())}"


def _refuse_unknown(node: object, prefix: str) -> None:
    """Refuse keys that `+key=value` added to a config."""
    if isinstance(node, dict):
        for key, value in node.items():
            _refuse_unknown(value, f"{prefix}{key}.")
    if not is_dataclass(node) or isinstance(node, type):
        return
    known = {f.name for f in fields(node)}
    for key, value in vars(node).items():
        if key not in known:
            raise InputError(
                f"there is no key {prefix}{key}{did_you_mean(key, known, prefix=prefix)}\n"
                f"  choose from {', '.join(sorted(known))}"
            )
        _refuse_unknown(value, f"{prefix}{key}.")


def _option(node: object) -> str:
    """The likely name of a config's yaml file.

    >>> _option(type("UNetConfig", (), {})())
    'unet'
    """
    return re.sub(r"(Task|Trainer|DataSplit|Start)?Config$", "", type(node).__name__).lower()
