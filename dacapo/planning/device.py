"""The device that a plan is made for, and what one training step costs on it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.nn.probe import num_activations
from dacapo.processes.cores import num_cores
from dacapo.training.diagnostics import bf16_speed_ratios, has_bf16

if TYPE_CHECKING:
    from dacapo.experiments.datasplits.datasplit import DataSplit
    from dacapo.experiments.run_config import RunConfig

_GIB = 2**30
_WORTH_IT = 1.3
_WITH_GRADIENTS = 1.5


@dataclass(frozen=True)
class Device:
    """What trains.

    Attributes:
        name: for people.
        is_gpu: whether it is a GPU.
        memory: in bytes; of a GPU, what it has in all.
        gains_from_bf16: whether steps in bf16 are clearly faster than in fp32.
        is_here: whether steps can be measured.
    """

    name: str
    is_gpu: bool
    memory: int
    gains_from_bf16: bool
    is_here: bool = True


def find_device(name: str, gpu_memory: float | None) -> Device:
    """The device of this name, or a GPU that is elsewhere.

    Args:
        name: cpu, cuda, cuda:1... or auto.
        gpu_memory: GiB of a GPU that is not in this machine.

    Raises:
        InputError: there is no such device.
    """
    if gpu_memory is not None:
        return Device(f"a GPU with {gpu_memory:g} GiB", True, int(gpu_memory * _GIB), True, False)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device={name}: give cpu, cuda, cuda:1... or auto") from error
    if device.type == "cpu":
        gains = has_bf16() and min(bf16_speed_ratios()) > _WORTH_IT
        cores = num_cores()
        return Device(f"a CPU with {cores} core{'s' * (cores > 1)}", False, 0, gains)
    if device.type != "cuda" or not torch.cuda.is_available():
        raise InputError(
            f"device={name}: no such device here; to plan for a GPU elsewhere, give its memory in "
            f"GiB, gpu_memory=24"
        )
    if (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device={name}: there is no such GPU here; there are {torch.cuda.device_count()}"
        )
    properties = torch.cuda.get_device_properties(device)
    return Device(properties.name, True, properties.total_memory, properties.major >= 8)


def activation_bytes(run_config: RunConfig, datasplit: DataSplit) -> float:
    """Memory that a training step needs, at a guess from the sizes of all layers' outputs."""
    run = Run(run_config, datasplit=datasplit)
    samples = getattr(run.trainer.config, "batch_size", 1) // run.trainer.config.micro_batches
    shape = (samples, run.model.num_in_channels, *run.model.input_shape)
    bytes_each = 4 if run.trainer.precision == torch.float32 else 2
    weights = sum(p.numel() for p in run.model.parameters())
    return _WITH_GRADIENTS * bytes_each * num_activations(run.model, shape) + 16 * weights


def step_cost(run_config: RunConfig, datasplit: DataSplit, num: int = 4) -> tuple[float, int]:
    """The seconds of a training step with its batch, and the voxels that it learns from.

    The shortest of some steps after a first one: that of an idle machine, if others disturb some.
    """
    run = Run(run_config, datasplit=datasplit)
    times = []
    batches = run.batches(0)
    for _ in range(num + 1):
        begin = time.perf_counter()
        batch = next(batches)
        run.train_step(batch)
        times.append(time.perf_counter() - begin)
    voxels = batch.target[:, 0].numel()
    return min(times[1:]), voxels
