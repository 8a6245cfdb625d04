"""The state that training changes, and the step that changes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from funlib.geometry import Coordinate
from torch import Tensor, nn

from dacapo.experiments.model import Model
from dacapo.experiments.tasks.losses import Loss
from dacapo.experiments.trainers.trainer import Batch, Trainer
from dacapo.nn.running_statistics import RunningStatistics, ramped
from dacapo.ops.draws import seed
from dacapo.processes.ranks import Ranks

_SMALLEST_SCALE = 2.0**-10
"""Smallest scale of an fp16 loss; at this scale, a non-finite gradient is not an overflow."""
_WARM_UP = 3
"""Passes after which a network is compiled and its kernels are recorded."""


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


@dataclass(frozen=True)
class StartedStep:
    """A step whose result may still be computed by a GPU.

    Attributes:
        numbers: loss over all processes, norm of the gradient, scale of the loss (0 or NaN without
            one), and the losses of this process's micro-batches; on the host.
        ready: the event after which they are.
    """

    numbers: Tensor
    ready: torch.cuda.Event | None = None

    @classmethod
    def of(cls, numbers: Tensor) -> StartedStep:
        """Bring the numbers to the host as soon as a GPU has computed them.

        To read them later from the GPU would wait for all steps that have been started since.
        """
        if numbers.device.type != "cuda":
            return cls(numbers)
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        return cls(host, torch.cuda.current_stream(numbers.device).record_event())

    def result(self) -> Step:
        """Wait for the result."""
        if self.ready is not None:
            self.ready.synchronize()
        loss, norm, scale, *losses = self.numbers.tolist()
        is_finite = math.isfinite(loss) and (math.isfinite(norm) or scale > _SMALLEST_SCALE)
        return Step(losses, loss, norm, is_finite)


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
        # The fused optimizers of a GPU decide there whether a step is made; others have to be told.
        self.decides_on_device = trainer.device.type == "cuda" and bool(
            self.optimizer.param_groups[0].get("fused")
        )
        self._scaler = torch.amp.GradScaler(
            trainer.device.type, enabled=trainer.precision == torch.float16
        )
        self.ema_weights: dict[str, Tensor] = {}
        self.reset_ema()
        self._statistics = RunningStatistics(self.model)
        self._plain_objective = _Objective(self, loss)
        self._objective = ranks.wrap_ddp(self._plain_objective)
        self._is_recorded = False  # replayed, rather than launched kernel by kernel

    def compile(self, num_samples: int) -> str:
        """Compile the network and its loss; returns why that failed, or nothing.

        Args:
            num_samples: of a micro-batch.
        """
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

        # Replaying a recorded graph of kernels takes a tenth of the time of launching them. It
        # reuses the memory of gradients, so none may be kept for another micro-batch or process.
        self._is_recorded = (
            self._trainer.device.type == "cuda" and self._trainer.config.micro_batches == 1
        )
        mode = "reduce-overhead" if self._is_recorded else None
        self._plain_objective.compile(dynamic=False, mode=mode)
        try:
            self._statistics.train()
            with self._statistics.unchanged():
                for _ in range(_WARM_UP):
                    self._try(self._plain_objective, num_samples, self.model.input_shape)
        except (TorchDynamoException, CppCompileError, InvalidCxxCompiler) as error:
            self.uncompile()
            return " ".join(str(error).split("\n")[:2]).strip()
        return ""

    def uncompile(self) -> None:
        """Undo `compile`."""
        self._is_recorded = False
        self._plain_objective._compiled_call_impl = None

    def _try(
        self, objective: Callable[[Tensor, Tensor, Tensor], Tensor], num: int, shape: Coordinate
    ) -> None:
        """A step with empty samples that changes no weight."""
        device = self._trainer.device
        channels, out_shape = self.model.compute_output_shape(shape)
        if self._is_recorded:
            torch.compiler.cudagraph_mark_step_begin()
        raw = torch.zeros((num, self.model.num_in_channels, *shape), device=device)
        target = torch.zeros((num, channels, *out_shape), device=device)
        with _fastest_kernels():
            objective(raw, target, torch.ones_like(target)).backward()
        self.optimizer.zero_grad()

    def reset_ema(self) -> None:
        """Start the average from the current weights."""
        if self._trainer.config.ema_decay is not None:
            self.ema_weights = {k: p.detach().clone() for k, p in self.model.named_parameters()}

    def forward(self, raw: Tensor) -> Tensor:
        """The model's float32 output for raw (B, C, *spatial), in the trainer's precision."""
        with self._precision(raw.device.type):
            output: Tensor = self.model(self._network_input(raw))
        return output.float()

    def trained_on(self, raw: Tensor) -> Tensor:
        """The model's float32 output for raw (B, C, *spatial) in train mode; changes nothing."""
        self._statistics.train()
        with torch.no_grad(), self._statistics.unchanged():
            return self.forward(raw)

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

    def start_step(self, batch: Batch, learning_rate: float) -> StartedStep:
        """Update the weights with the micro-batches of all processes.

        A step whose loss or gradient is not finite changes nothing. With `decides_on_device`, this
        returns before the step is computed.
        """
        config = self._trainer.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self._statistics.train()  # validation left it in eval mode
        self.optimizer.zero_grad()
        batch.wait()
        parts = batch.parts(config.micro_batches // self._ranks.world)
        self._statistics.begin_step()
        with _fastest_kernels():
            losses = torch.stack([self._backward(parts, number) for number in range(len(parts))])
        # The gradient is clipped without the loss scale of fp16, so unscale it first.
        self._scaler.unscale_(self.optimizer)
        limit = config.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        # All processes know the loss of all, so either all of them refuse a step or none does.
        loss = self._ranks.sum(losses.sum(dtype=torch.float64)) / config.micro_batches
        finite = (loss + norm).isfinite()
        # Without a loss scale, no gradient overflows because of it.
        scale = self._scaler.scale(torch.ones_like(loss)) if self._scaler.is_enabled() else 0 * norm
        numbers = torch.stack([loss, norm.double(), scale.double(), *losses.double()])
        started = StartedStep.of(numbers)
        self._statistics.end_step(self._ranks, config.micro_batches, batch.iteration, finite)
        if self.decides_on_device:
            self.optimizer.found_inf = 1 - finite.float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif started.result().is_finite:
            self._scaler.step(self.optimizer)
        else:
            return started
        self._scaler.update()
        self._update_ema(batch.iteration, finite)
        return started

    def peak_of(self, shape: Sequence[int]) -> int:
        """Bytes that one step needs on a GPU for one sample of this shape, in addition to what is
        allocated; gradients included, and deleted again."""
        device = self._trainer.device
        self.optimizer.zero_grad()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        self._try(self._plain_objective.forward, 1, Coordinate(shape))
        return torch.cuda.max_memory_allocated(device) - before

    def _backward(self, parts: Sequence[Batch], number: int) -> Tensor:
        """Accumulate the gradient of one micro-batch; returns its loss."""
        batch = parts[number]
        place = self._ranks.rank * len(parts) + number  # among those of all processes
        torch.manual_seed(seed(self._repetition, batch.iteration, "network", place))  # dropout
        if self._is_recorded:
            torch.compiler.cudagraph_mark_step_begin()
        is_last = number == len(parts) - 1
        # Processes exchange gradients once a step, with the last micro-batch.
        alone = nullcontext() if is_last or self._ranks.world == 1 else self._objective.no_sync()  # type: ignore[operator]
        with alone:
            loss: Tensor = self._objective(batch.raw, batch.target, batch.weight)
            self._scaler.scale(loss / self._trainer.config.micro_batches).backward()
        self._statistics.add_micro_batch()
        return loss.detach()

    def _update_ema(self, iteration: int, finite: Tensor) -> None:
        """Move the average towards the current weights, faster in the first steps."""
        if not self.ema_weights:
            return
        limit = self._trainer.config.ema_decay
        assert limit is not None
        rate = (1 - ramped(limit, iteration)) * finite.float()
        with torch.no_grad():
            averages = list(self.ema_weights.values())
            moved = torch._foreach_sub([p for _, p in self.model.named_parameters()], averages)
            torch._foreach_mul_(moved, rate)
            torch._foreach_add_(averages, moved)

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


def _fastest_kernels() -> AbstractContextManager[None]:
    """Let cuDNN time its kernels once for each shape, of which training has only one."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled, benchmark=True, deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    )  # fmt: skip
