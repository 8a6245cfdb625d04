"""The running means and variances of batch normalisation, over the steps of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from dacapo.processes.ranks import Ranks

_DECAY = 0.99
"""Steps of one crop differ so much that torch's default of 0.9 spoils single validations."""


def ramped(decay: float, iteration: int) -> float:
    """The decay of an exponential moving average in a step; at first the average moves faster.

    The first weights are far from the later ones. The ramp is that of TensorFlow's
    ExponentialMovingAverage.
    """
    return min(decay, (1 + iteration) / (10 + iteration))


class RunningStatistics:
    """Makes the statistics of a network a function of its steps alone.

    The statistics of a step are the mean of those of its micro-batches, of this and of other
    processes; the running statistics are their exponential moving average. So neither the order of
    the micro-batches nor the number of processes matters, and a step that is not made changes
    nothing. The momentum of the network's own layers is not used.

    Where scale and shift of a layer are frozen, so are its statistics. A layer that is used several
    times in one pass keeps the statistics of its last use.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        norms = [m for m in network.modules() if isinstance(m, _NormBase)]
        norms = [norm for norm in norms if norm.track_running_stats]
        self._frozen = [n for n in norms if n.affine and not n.weight.requires_grad]
        moving = [norm for norm in norms if norm not in self._frozen]
        for norm in moving:
            norm.momentum = 1.0  # keeps the statistics of the last micro-batch
        values = [v for norm in moving for v in (norm.running_mean, norm.running_var)]
        self._values = [value for value in values if value is not None]
        counters = [norm.num_batches_tracked for norm in moving]
        self._counters = [counter for counter in counters if counter is not None]
        self._sizes = [value.numel() for value in self._values]
        self._before: list[Tensor] = []
        self._total: Tensor | None = None

    def train(self) -> None:
        """Set the network to train mode, except for what is frozen."""
        self._network.train()
        for norm in self._frozen:
            norm.eval()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What the network computes within the context changes nothing."""
        buffers = list(self._network.buffers())
        before = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)

    def begin_step(self) -> None:
        """To be called before the first micro-batch."""
        self._before = [value.clone() for value in (*self._values, *self._counters)]
        self._total = None

    def add_micro_batch(self) -> None:
        """To be called after each micro-batch of this process."""
        if self._values:
            own = torch.cat(self._values)
            self._total = own if self._total is None else self._total + own

    def end_step(self, ranks: Ranks, num: int, iteration: int, finite: Tensor) -> None:
        """To be called after the last micro-batch; does not wait for a GPU.

        Args:
            num: micro-batches of all processes.
            finite: whether the step is made.
        """
        if self._total is None:
            return
        num_values = len(self._values)
        before = torch.cat(self._before[:num_values])
        moved = before.lerp(ranks.sum(self._total) / num, 1 - ramped(_DECAY, iteration))
        torch._foreach_copy_(self._values, list(moved.where(finite, before).split(self._sizes)))
        if self._counters:
            counted = torch.stack(self._before[num_values:])
            torch._foreach_copy_(self._counters, list((counted + finite).unbind()))
