"""A model with the weights of a run, from the run's folder alone: its data need not be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from funlib.geometry import Coordinate

from dacapo.arrays.units import to_world
from dacapo.config import decode, encode
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import Best
from dacapo.experiments.tasks.post_processors import PostProcessor, PostProcessorConfig
from dacapo.experiments.train_state import TrainState
from dacapo.experiments.trainers.trainer import SampleShape
from dacapo.processes.ranks import SINGLE_PROCESS as _SINGLE
from dacapo.runs import RunFolder
from dacapo.runs.checkpoint import CheckpointError


class TrainedModel:
    """A model that can predict; see `Network` of `dacapo.inference.blocks`.

    Args:
        iteration: of the weights; None: the best of the checkpoints that were kept.
        criterion: decides which is best; None: the run's own.
        device: as `trainer.device`.

    Attributes:
        run_config: of the run.
        iteration: of the weights.
        best: the validation score by which they were chosen, and its setting of the
            post-processor; None if the iteration was given.
        unit, intensity_range: of the data it was trained on; the latter is None if its volumes
            differed in it.

    Raises:
        InputError: there is no such run or checkpoint.
    """

    def __init__(
        self,
        folder: RunFolder,
        iteration: int | None = None,
        criterion: str | None = None,
        device: str = "auto",
    ) -> None:
        history = folder.read_history()
        document = folder.read_document(history)
        run_config = decode(document["config"])
        if not isinstance(run_config, RunConfig):
            raise InputError(f"{folder.path}: its config is not that of a run")
        self.run_config, self.folder = run_config, folder
        self.best, self.iteration = _choose(folder, iteration, criterion)
        # A network that is compiled anew for each shape of block would be slower.
        trainer_config = replace(run_config.trainer_config, compile=False)
        if hasattr(trainer_config, "device"):
            trainer_config = replace(trainer_config, device=device)  # type: ignore[call-arg]
        self.trainer = trainer_config.build()
        self.task = run_config.task_config.build()
        with torch.random.fork_rng(devices=[]):
            self.architecture = run_config.architecture_config.build()
            model = self.task.predictor.create_model(self.architecture)
        self.train_state = TrainState(model, self.task.loss, self.trainer, 0, _SINGLE)
        try:
            self.train_state.load_state(folder.read_checkpoint(self.iteration))
        except (CheckpointError, OSError, RuntimeError, KeyError) as error:
            raise InputError(f"{folder.path}: its checkpoint cannot be used: {error}") from error
        self.model = self.train_state.model
        data = _data_of(document, folder)
        self.unit = str(data["unit"])
        self.intensity_range = data["intensity_range"]
        sizes = (self._size(data, key) for key in ("input_voxel_size", "output_voxel_size"))
        input_size, output_size = sizes
        self.sample_shape = SampleShape(
            self.model.input_shape, input_size, self.model.output_shape, output_size
        )

    def choose_parameters(self, given: Mapping[str, Any]) -> tuple[PostProcessor[Any], Any]:
        """The post-processor, and one setting of it: the best of the validation, but for what is
        given.

        Raises:
            InputError: a parameter is unknown or out of its range, or one is missing because no
                validation chose it.
        """
        every = self.task.post_processor.enumerate_parameters()
        names = [name for name in vars(every[0]) if name != "id"]
        for name in given:
            if name not in names:
                raise InputError(
                    f"parameters: there is no parameter {name}{did_you_mean(name, names)}; there "
                    f"are {', '.join(names)}"
                )
        if self.best is None and len(every) > 1 and not set(names) <= set(given):
            missing = [name for name in names if name not in given]
            raise InputError(
                f"iteration {self.iteration} was not validated, so no parameters were chosen: set "
                f"parameters={{{', '.join(f'{name}: ...' for name in missing)}}}"
            )
        setting = every[0 if self.best is None else self.best.parameters]
        if not given:
            return self.task.post_processor, setting
        config = self.run_config.task_config
        processor = getattr(config, "post_processor", None)
        if not isinstance(processor, PostProcessorConfig):
            raise InputError("parameters: those of this task cannot be set")
        # One value of each, in the config, which checks ranges.
        values = {
            **vars(setting),
            **{n: _like(n, v, getattr(setting, n)) for n, v in given.items()},
        }
        plain = {**encode(processor), **{name: [value] for name, value in values.items()}}
        try:
            only = replace(config, post_processor=decode(plain))  # type: ignore[call-arg]
        except InputError as error:
            raise InputError(f"parameters: {error}") from error
        made = only.build().post_processor
        return made, made.enumerate_parameters()[0]

    @property
    def channel_names(self) -> Sequence[str]:
        return self.task.predictor.channel_names

    def _size(self, data: Mapping[str, Any], key: str) -> Coordinate:
        size = [float(v) for v in data[key]]
        return to_world(size, self.unit, size, f"{self.folder.path}: {key}")


def _like(name: str, value: Any, current: Any) -> Any:
    """A parameter as a number of the kind that it has."""
    if value is None and not isinstance(current, int | float):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        may_be = "" if isinstance(current, int | float) else ", or null"
        raise InputError(f"parameters: {name}={value} must be one number{may_be}")
    if isinstance(current, int) and value != int(value):
        raise InputError(f"parameters: {name}={value} must be a whole number")
    return int(value) if isinstance(current, int) else value


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
    folder: RunFolder, iteration: int | None, criterion: str | None
) -> tuple[Best | None, int]:
    """The iteration of the weights, and the score by which it was chosen."""
    stored = folder.checkpoints()
    table = folder.read_history().table()
    best = None if table is None else table.among(stored).best(criterion)
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
