"""What is left of a trained model: in the folder of a run, or in a package that was exported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from dacapo.arrays import Array
from dacapo.config import decode, encode, registered
from dacapo.errors import InputError
from dacapo.experiments.architectures import ArchitectureConfig
from dacapo.experiments.datasplits.datasets.dataset import Level
from dacapo.experiments.datasplits.datasets.statistics import find_range
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import Best, Rule
from dacapo.experiments.tasks import PretrainedTaskConfig, TaskConfig
from dacapo.experiments.train_state import TrainState
from dacapo.experiments.trainers import TrainerConfig
from dacapo.nn.bioimageio import Package, read_package
from dacapo.nn.weights import load_all, read_state_dict
from dacapo.runs import RunFolder
from dacapo.runs.checkpoint import CheckpointError
from dacapo.runs.history import History


@dataclass(frozen=True)
class Normalization:
    """How intensities were normalised in training.

    Attributes:
        how: see `find_range`; None: by the fixed range.
        percentiles: for how=percentile.
        fixed: the raw values that were mapped to 0 and 1; None if the training volumes differed.
    """

    how: str | None = None
    percentiles: tuple[float, float] = (0.5, 99.5)
    fixed: tuple[Level, Level] | None = None

    def range_of(self, raw: Array) -> tuple[Level, Level]:
        """The raw values of a volume that are mapped to 0 and 1."""
        if self.how is not None:
            return find_range(raw, self.how, self.percentiles)
        return self.fixed or find_range(raw)


@dataclass(frozen=True)
class SavedModel:
    """A trained model that is not yet in memory.

    Attributes:
        label: names it in messages.
        iteration: number of training steps of its weights.
        parameters: of the post-processor: those that scored best, by name, or the number of their
            setting; None: unknown.
        dtype: of raw; empty if unknown.
        score: the validation score that chose them, in words; empty if unknown.
        folder: of the run; None: it comes from a package.
        setting: the label of its parameters.
        unit: of the voxel sizes.
        read_weights: the file of its weights.
        load: loads them into the model and all that belongs to it.
    """

    label: str
    iteration: int
    task: TaskConfig
    architecture: ArchitectureConfig
    trainer: TrainerConfig
    normalization: Normalization
    unit: str
    input_voxel_size: list[float]
    output_voxel_size: list[float]
    parameters: dict[str, Any] | int | None
    read_weights: Callable[[], bytes] = field(repr=False)
    load: Callable[[TrainState], None] = field(repr=False)
    dtype: str = ""
    score: str = ""
    folder: Path | None = field(default=None, repr=False)
    setting: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Names it and its weights in messages."""
        return f"{self.label}, iteration {self.iteration}"

    def check(self) -> None:
        """Refuse what another may have written.

        Raises:
            ValueError: a value has another type.
        """
        kinds = {
            "task": TaskConfig, "architecture": ArchitectureConfig, "trainer": TrainerConfig,
            "label": str, "unit": str, "iteration": int, "score": str, "dtype": str,
        }  # fmt: skip
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} is {getattr(self, name)!r:.99}")
        if self.normalization.how not in (None, "range", "percentile", "zscore"):
            raise ValueError(f"normalization.how is {self.normalization.how!r:.99}")
        if not isinstance(self.parameters, dict | None):
            raise ValueError(f"parameters is {self.parameters!r:.99}")
        for size in (self.input_voxel_size, self.output_voxel_size):
            if not all(isinstance(v, int | float) and v > 0 for v in size):
                raise ValueError(f"a voxel size is {size!r:.99}")

    @cached_property
    def digest(self) -> str:
        """Identifies the file of the weights."""
        return hashlib.sha256(self.read_weights()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """All but the weights, as plain data; see `of_package`."""
        names = [f.name for f in fields(self) if f.repr]
        plain: dict[str, Any] = encode({name: getattr(self, name) for name in names})
        return {**plain, "normalization": encode(vars(self.normalization))}


def of_package(path: Path) -> SavedModel:
    """The model of a package that `dacapo.export` has written.

    Raises:
        InputError: there is none, or it is another's.
    """
    package = read_package(path, "run")
    plain = package.own_config
    if not package.is_own:
        raise InputError(
            f"run={path} was not exported by dacapo.export: train with architecture=bioimageio "
            f"start=bioimageio"
        )
    try:
        names = [f.name for f in fields(SavedModel) if f.repr]
        kept = {name: decode(plain[name], name) for name in names}
        how = kept.pop("normalization")
        normalization = Normalization(
            how["how"], tuple(how["percentiles"]), how["fixed"] and tuple(how["fixed"])
        )
        saved = SavedModel(
            **kept,
            normalization=normalization,
            read_weights=lambda: package.read_weights("run").getvalue(),
            load=lambda state: _load_package(package, path, state),
        )
        saved.check()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"run={path}: its description is not complete: {error}") from error
    return saved


def of_run(
    folder: RunFolder, iteration: int | None, criterion: str | None, rule: Rule = Rule.best
) -> SavedModel:
    """The model of a run.

    Args:
        iteration: of the weights; None: the best of the checkpoints that were kept.
        criterion: decides which is best; None: the run's own.

    Raises:
        InputError: there is no such checkpoint.
    """
    history = folder.read_history()
    document = folder.read_document(history)
    config = decode(_without_own_losses(document["config"]))
    if not isinstance(config, RunConfig):
        raise InputError(f"{folder.path}: its config is not that of a run")
    best, chosen = _choose(folder, history, iteration, criterion, rule)
    data = _data_of(document, folder)
    fixed, task, parameters = data["intensity_range"], config.task_config, None
    if best is not None:
        # The post-processor that made the score may be another than that of the training.
        header = history.header_of(best)
        task = task.scored_by(header.settings.get("task", {}))
        parameters = [p["label"] for p in header.parameters].index(best.label)
    datasplit: Any = config.datasplit_config
    how = getattr(datasplit, "normalize", None)
    if how is None or getattr(datasplit, "intensity_range", None) is not None:
        normalization = Normalization(fixed=fixed and tuple(fixed))
    else:
        low, high = datasplit.percentiles
        normalization = Normalization(how.value, (low, high), fixed and tuple(fixed))
    return SavedModel(
        label=folder.label,
        iteration=chosen,
        # The weights of a pretrained task are in the checkpoint: their file need not be there.
        task=task.sub_task if isinstance(task, PretrainedTaskConfig) else task,
        architecture=_architecture(document, config),
        trainer=config.trainer_config,
        normalization=normalization,
        unit=str(data["unit"]),
        input_voxel_size=[float(v) for v in data["input_voxel_size"]],
        output_voxel_size=[float(v) for v in data["output_voxel_size"]],
        parameters=parameters,
        dtype=str(data.get("dtype", "")),
        score="" if best is None else best.text,
        read_weights=lambda: folder.checkpoint(chosen).read_bytes(),
        load=lambda state: _load_checkpoint(folder, chosen, state),
        folder=folder.path,
        setting="" if best is None else best.label,
    )


def _without_own_losses(config: Any) -> Any:
    """A saved config without losses whose classes nobody has imported: they do not predict."""
    if not isinstance(config, dict):
        return config
    return {
        key: _without_own_losses(value)
        for key, value in config.items()
        if not (key.endswith("loss") and _is_unknown(value))
    }


def _is_unknown(value: Any) -> bool:
    return (
        isinstance(value, dict) and "_type_" in value and registered(str(value["_type_"])) is None
    )


def _architecture(document: Mapping[str, Any], config: RunConfig) -> ArchitectureConfig:
    """As it was when the run began: a file that it came from may be gone, or be another."""
    noted = decode(document["network"]) if isinstance(document.get("network"), dict) else None
    if isinstance(noted, ArchitectureConfig):
        return noted
    return config.architecture_config


def _load_package(package: Package, path: Path, state: TrainState) -> None:
    source = f"run={path}"
    load_all(state.model, read_state_dict(package.read_weights("run"), source), source)
    state.reset_ema()


def _load_checkpoint(folder: RunFolder, iteration: int, state: TrainState) -> None:
    try:
        state.load_state(folder.read_checkpoint(iteration))
    except (CheckpointError, OSError, RuntimeError, KeyError) as error:
        raise InputError(f"{folder.path}: its checkpoint cannot be used: {error}") from error


def _data_of(document: Mapping[str, Any], folder: RunFolder) -> Mapping[str, Any]:
    """What the run has noted of its data, see `Run.describe_data`."""
    data = document.get("data")
    keys = {"unit", "intensity_range", "input_voxel_size", "output_voxel_size"}
    if not isinstance(data, Mapping) or not keys <= set(data):
        raise InputError(
            f"{folder.path} does not say what its data were like: rerun its training command, "
            f"which notes it"
        )
    return data


def _choose(
    folder: RunFolder, history: History, iteration: int | None, criterion: str | None, rule: Rule
) -> tuple[Best | None, int]:
    """The iteration of the weights, and the score by which it was chosen."""
    stored = folder.checkpoints()
    table = history.table()
    best = None if table is None else table.among(stored).best(criterion, rule)
    if iteration is None:
        if best is None:
            raise InputError(
                f"{folder.path}: none of its checkpoints was validated: give iteration=, of "
                f"{', '.join(map(str, stored)) or 'none'}"
            )
        return best, best.iteration
    if iteration not in stored:
        raise InputError(
            f"iteration={iteration}: {folder.path} has no such checkpoint; it has "
            f"{', '.join(map(str, stored)) or 'none'} (trainer.keep_every and trainer.keep_best "
            f"keep more)"
        )
    of_this = None if table is None else table.among([iteration]).best(criterion)
    return of_this, iteration
