"""A trained model in memory; the data it was trained on need not be there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from dacapo.arrays.units import to_world
from dacapo.config import decode, encode
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.tasks.post_processors import PostProcessor, PostProcessorConfig
from dacapo.experiments.train_state import TrainState
from dacapo.experiments.trainers.trainer import SampleShape
from dacapo.inference.saved import SavedModel
from dacapo.processes.ranks import SINGLE_PROCESS as _SINGLE


class TrainedModel:
    """A model that can predict; see `Network` of `dacapo.inference.blocks`.

    Args:
        device: as `trainer.device`.

    Attributes:
        saved: where it comes from.
        parameters: of the post-processor, those that scored best, by name; None: unknown.

    Raises:
        InputError: its weights cannot be loaded.
    """

    def __init__(self, saved: SavedModel, device: str = "auto") -> None:
        self.saved = saved
        # A network that is compiled anew for each shape of block would be slower.
        trainer_config = replace(saved.trainer, compile=False)
        if hasattr(trainer_config, "device"):
            trainer_config = replace(trainer_config, device=device)  # type: ignore[call-arg]
        self.trainer = trainer_config.build()
        self.task = saved.task.build()
        with torch.random.fork_rng(devices=[]):
            self.architecture = saved.architecture.build()
            model = self.task.predictor.create_model(self.architecture)
        self.train_state = TrainState(model, self.task.loss, self.trainer, 0, _SINGLE)
        saved.load(self.train_state)
        self.model = self.train_state.model
        sizes = (saved.input_voxel_size, saved.output_voxel_size)
        read, made = (to_world(size, saved.unit, size, saved.label) for size in sizes)
        self.sample_shape = SampleShape(self.model.input_shape, read, self.model.output_shape, made)
        self.parameters: dict[str, Any] | None
        if isinstance(saved.parameters, int):
            every = self.task.post_processor.enumerate_parameters()
            self.parameters = _named(every[saved.parameters])
        else:
            self.parameters = saved.parameters

    def choose_parameters(self, given: Mapping[str, Any]) -> tuple[PostProcessor[Any], Any]:
        """The post-processor, and one setting of it: the best of the validation, but for what is
        given.

        Raises:
            InputError: a parameter is unknown or out of its range, or one is missing because no
                validation chose it.
        """
        every = self.task.post_processor.enumerate_parameters()
        names = list(_named(every[0]))
        for name in given:
            if name not in names:
                raise InputError(
                    f"parameters: there is no parameter {name}{did_you_mean(name, names)}; there "
                    f"are {', '.join(names)}"
                )
        if self.parameters is None and len(every) > 1 and not set(names) <= set(given):
            missing = [name for name in names if name not in given]
            raise InputError(
                f"iteration {self.saved.iteration} was not validated, so no parameters were "
                f"chosen: set parameters={{{', '.join(f'{name}: ...' for name in missing)}}}"
            )
        same = [s for s in every if self.parameters in (None, _named(s))]
        if not same:
            raise InputError(
                f"{self.saved.label}: its post-processor does not have the parameters that it was "
                f"exported with, {self.parameters}: set parameters={{...}}"
            )
        setting = same[0]
        if not given:
            return self.task.post_processor, setting
        config = self.saved.task
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

    def digest(self) -> str:
        """Identifies the weights that predict, in whatever file they are."""
        found = hashlib.sha256()
        with self.train_state.using_ema():
            for name, tensor in sorted(self.model.state_dict().items()):
                values = tensor.detach().cpu().contiguous().numpy()
                found.update(f"{name} {values.dtype} {values.shape}".encode())
                found.update(values.tobytes())
        return found.hexdigest()

    @property
    def channel_names(self) -> Sequence[str]:
        return self.task.predictor.channel_names


def _named(setting: Any) -> dict[str, Any]:
    """The parameters of a setting."""
    return {name: value for name, value in vars(setting).items() if name != "id"}


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
