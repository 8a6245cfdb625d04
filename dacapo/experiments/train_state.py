"""The state that training changes, and the step that changes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dacapo.experiments.model import Model
from dacapo.experiments.tasks.losses import Loss
from dacapo.experiments.trainers.trainer import Batch, Trainer
from dacapo.ops.draws import seed
from dacapo.processes.ranks import Ranks

_SMALLEST_SCALE = 2.0**-10
"""Smallest scale of an fp16 loss; at this scale, a non-finite gradient is not an overflow."""


@dataclass(frozen=True)
class Step:
    """The result of a step.

    Attributes:
        losses: the losses of this process's micro-batches.
        loss: their mean over all processes.
        gradient_norm: before clipping; not finite if fp16 overflowed and the step was skipped.
        is_finite: false if loss or gradient are not finite; the weights are then unchanged.
    """

    losses: Sequence[float]
    loss: float
    gradient_norm: float
    is_finite: bool


class TrainState:
    """Model, optimizer, loss scale and averaged weights: all that a checkpoint holds.

    Attributes:
        model: on the device that trains.
        optimizer: updates the weights that are not frozen.
        ema_weights: an exponential moving average of the model's parameters by name; empty if it is
            not used. Buffers, such as the statistics of batch norm, are not averaged.
    """

    def __init__(
        self, model: Model, loss: Loss, trainer: Trainer, repetition: int, ranks: Ranks
    ) -> None:
        self._trainer, self._repetition, self._ranks = trainer, repetition, ranks
        is_2d = len(model.input_shape) == 2
        last = torch.channels_last if is_2d else torch.channels_last_3d
        self._memory_format = last if trainer.channels_last else torch.contiguous_format
        self.model = model.to(trainer.device)
        for parameter in self.model.parameters():
            if parameter.ndim == len(model.input_shape) + 2:  # a kernel
                parameter.data = parameter.data.to(memory_format=self._memory_format)
        self.optimizer = trainer.create_optimizer(self.model)
        self._scaler = torch.amp.GradScaler(
            trainer.device.type, enabled=trainer.precision == torch.float16
        )
        self.ema_weights: dict[str, Tensor] = {}
        self.reset_ema()
        objective = _Objective(self, loss)
        if trainer.config.compile:
            objective.compile()
        self._objective = ranks.wrap_ddp(objective)

    def reset_ema(self) -> None:
        """Start the average from the current weights."""
        if self._trainer.config.ema_decay is not None:
            self.ema_weights = {k: p.detach().clone() for k, p in self.model.named_parameters()}

    def forward(self, raw: Tensor) -> Tensor:
        """The model's float32 output for raw (B, C, *spatial), in the trainer's precision."""
        with self._precision(raw.device.type):
            output: Tensor = self.model(self._network_input(raw))
        return output.float()

    def forward_with_aux(self, raw: Tensor) -> list[Tensor]:
        """The output of `Model.forward_with_aux` for raw, in the trainer's precision."""
        with self._precision(raw.device.type):
            outputs = self.model.forward_with_aux(self._network_input(raw))
        return [output.float() for output in outputs]

    def _network_input(self, raw: Tensor) -> Tensor:
        """Scale raw from 0..1, as datasets and augmentations use it, to -1..1, as networks expect.

        This is the only place where it is scaled.
        """
        return (raw * 2 - 1).to(memory_format=self._memory_format)

    def _precision(self, device: str) -> torch.autocast:
        precision = self._trainer.precision
        return torch.autocast(device, precision, enabled=precision != torch.float32)

    def step(self, batch: Batch, learning_rate: float) -> Step:
        """Update the weights with the micro-batches of all processes."""
        config = self._trainer.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.model.train()  # validation left it in eval mode
        self.optimizer.zero_grad()
        batch.wait()
        parts = batch.parts(config.micro_batches // self._ranks.world)
        losses = torch.stack([self._backward(parts, number) for number in range(len(parts))])
        values: list[float] = losses.tolist()
        # The gradient is clipped without the loss scale of fp16, so unscale it first.
        self._scaler.unscale_(self.optimizer)
        limit = config.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit).item()
        # All processes know the loss of all, so either all of them refuse a step or none does.
        loss = self._ranks.all_reduce([sum(values)])[0] / config.micro_batches
        overflow = self._scaler.is_enabled() and self._scaler.get_scale() > _SMALLEST_SCALE
        if not math.isfinite(loss) or not (math.isfinite(norm) or overflow):
            return Step(values, loss, norm, is_finite=False)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self._update_ema(batch.iteration)
        return Step(values, loss, norm, is_finite=True)

    def _backward(self, parts: Sequence[Batch], number: int) -> Tensor:
        """Accumulate the gradient of one micro-batch; returns its loss."""
        batch = parts[number]
        place = self._ranks.rank * len(parts) + number  # among those of all processes
        torch.manual_seed(seed(self._repetition, batch.iteration, "network", place))  # dropout
        is_last = number == len(parts) - 1
        # Processes exchange gradients once a step, with the last micro-batch.
        alone = nullcontext() if is_last or self._ranks.world == 1 else self._objective.no_sync()  # type: ignore[operator]
        with alone:
            loss: Tensor = self._objective(batch.raw, batch.target, batch.weight)
            self._scaler.scale(loss / len(parts)).backward()
        return loss.detach()

    def _update_ema(self, iteration: int) -> None:
        """Move the average towards the current weights, faster in the first steps.

        The first weights are far from the later ones. The ramp is that of TensorFlow's
        ExponentialMovingAverage.
        """
        if not self.ema_weights:
            return
        limit = self._trainer.config.ema_decay
        assert limit is not None
        decay = min(limit, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            for key, parameter in self.model.named_parameters():
                self.ema_weights[key].lerp_(parameter, 1 - decay)

    @contextmanager
    def using_ema(self) -> Iterator[None]:
        """Within the context, the model uses the averaged weights, if there are any."""
        if not self.ema_weights:
            yield
            return
        own = {k: p.data for k, p in self.model.named_parameters()}
        try:
            self._point_at(self.ema_weights)
            yield
        finally:
            self._point_at(own)

    def _point_at(self, values: Mapping[str, Tensor]) -> None:
        for key, parameter in self.model.named_parameters():
            parameter.data = values[key]

    def state(self) -> dict[str, Tensor]:
        """Weights, their average, optimizer and loss scale, by name."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema_weights.items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            values = {k: v for k, v in entries.items() if v is not None}
            tensors |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        for key in ("scale", "_growth_tracker") if self._scaler.is_enabled() else ():
            value = self._scaler.state_dict()[key]
            tensors[f"scaler.{key}"] = torch.tensor(value, dtype=torch.float64)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.model.load_state_dict(_below("model.", tensors))
        for key, value in _below("ema.", tensors).items():
            self.ema_weights[key].copy_(value)
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in _below("optimizer.", tensors).items():
            index, name = key.split(".", 1)
            entries.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        if scaler := _below("scaler.", tensors):
            scale, grown = scaler["scale"].item(), int(scaler["_growth_tracker"])
            state = self._scaler.state_dict()
            self._scaler.load_state_dict({**state, "scale": scale, "_growth_tracker": grown})


class _Objective(nn.Module):
    """From a batch to its loss: what is compiled, and what several processes share."""

    def __init__(self, train_state: TrainState, loss: Loss) -> None:
        super().__init__()
        self.model = train_state.model
        self._forward = train_state.forward_with_aux
        self._loss = loss

    def forward(self, raw: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The weighted losses of all levels, halving with each coarser level. Lee et al. 2015."""
        outputs = self._forward(raw)
        factors = [0.5**level for level in range(len(outputs))]
        losses = [
            factor / sum(factors) * self._loss.compute(output, target, weight)
            for factor, output in zip(factors, outputs, strict=True)
        ]
        return sum(losses[1:], losses[0])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
