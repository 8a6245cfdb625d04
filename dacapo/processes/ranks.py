"""The processes that train one run together (torch's ranks)."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

T = TypeVar("T")

_PATIENCE = timedelta(days=7)
"""How long processes wait for each other; a validation may take long."""


@dataclass(frozen=True)
class Ranks:
    """This process and the others that train a run.

    Attributes:
        rank: from 0; the process of rank 0 validates and writes.
        world: number of processes.
        local: number of this process on its machine, and of its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shard(self, num: int) -> range:
        """This process's part of `num` consecutive items.

        >>> Ranks(1, 2).shard(6)
        range(3, 6)
        """
        size = num // self.world
        return range(self.rank * size, (self.rank + 1) * size)

    def all_gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks."""
        if self.world == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def broadcast(self, make: Callable[[], T]) -> T:
        """The result of `make` in the first process; if it fails there, the others exit
        silently."""
        if self.world == 1:
            return make()
        import torch
        from torch import distributed

        message: list[Any] = [None, False]
        try:
            if self.is_first:
                message = [make(), True]
        finally:
            distributed.broadcast_object_list(message, src=0, device=torch.device("cpu"))
        value: T = message[0]
        if not message[1]:
            raise SystemExit(1)
        return value

    def wait_for_first(self) -> None:
        """In all processes except the first, wait until the first one has ended."""
        if self.is_first:
            return
        from torch import distributed

        try:
            distributed.barrier()
        except RuntimeError:  # it has ended
            return

    def on_all_ranks(self, make: Callable[[], T]) -> T:
        """The result of `make` in each process; a user error in any process ends all of them.

        Raises:
            InputError: in every process, the first user error that any of them found.
        """
        if self.world == 1:
            return make()
        from dacapo.errors import InputError

        value: T | None = None
        mistake = ""
        try:
            value = make()
        except InputError as error:
            mistake = str(error)
        found = [text for text in self.all_gather(mistake) if text]
        if found:
            raise InputError(found[0])
        assert value is not None
        return value

    def all_reduce(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.world == 1:
            return list(values)
        import torch
        from torch import distributed

        total = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(total)
        return total.tolist()

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, on CPUs in the order of the ranks.

        On a GPU, this does not wait for it.
        """
        return value if self.world == 1 else _started_sum(self.world, value).wait()

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """A module whose gradients are summed over all processes, while others are computed."""
        if self.world == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        parameter = next(module.parameters())
        devices = [parameter.device] if parameter.device.type == "cuda" else None
        # This also fixes the order in which gradients are added from the first step on, so that a
        # resumed run adds them in the same order as an uninterrupted one.
        shared = DistributedDataParallel(module, devices, find_unused_parameters=True)
        # A lambda, as DDP does not understand annotations that are text.
        hook = lambda world, bucket: _started_sum(world, bucket.buffer())  # noqa: E731
        shared.register_comm_hook(self.world, hook)
        return shared


def _started_sum(world: int, value: Tensor) -> torch.futures.Future[Tensor]:
    """The sum of a tensor over all processes.

    On CPUs in the order of the ranks, as one process adds what micro-batches give: libraries add in
    an order of their own, and three numbers have more than one rounded sum.
    """
    import torch
    from torch import distributed

    if value.device.type != "cpu":
        reduced = distributed.all_reduce(value, async_op=True).get_future()
        on_gpu: torch.futures.Future[Tensor] = reduced.then(lambda done: done.value()[0])
        return on_gpu
    parts = [torch.empty_like(value) for _ in range(world)]
    gathered = distributed.all_gather(parts, value, async_op=True).get_future()

    def add(_: object) -> Tensor:
        for part in parts[1:]:
            parts[0].add_(part)
        return parts[0]

    in_order: torch.futures.Future[Tensor] = gathered.then(add)
    return in_order


SINGLE_PROCESS = Ranks()


@contextmanager
def process_group() -> Iterator[Ranks]:
    """The processes that torchrun or submitit started for one run; otherwise only this one."""
    ranks = current_ranks()
    if ranks.world == 1:
        yield ranks
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        yield ranks
        return

    backend = "gloo"
    if torch.cuda.is_available():
        if ranks.local >= torch.cuda.device_count():
            from dacapo.errors import InputError

            raise InputError(
                f"process {ranks.local} of this machine has no GPU of its own: there are "
                f"{torch.cuda.device_count()}; start as many processes, or hide the GPUs with "
                f"CUDA_VISIBLE_DEVICES="
            )
        torch.cuda.set_device(ranks.local)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(
        backend, rank=ranks.rank, world_size=ranks.world, timeout=_PATIENCE
    )
    # Once per process: a second group could collide with remains of the first.
    atexit.register(distributed.destroy_process_group)
    yield ranks


def current_ranks() -> Ranks:
    """Ranks according to the environment of torchrun, or of SLURM under submitit."""
    if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        keys = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        return Ranks(*(int(os.environ[key]) for key in keys))
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" and "SLURM_PROCID" in os.environ:
        defaults = {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0"}
        ranks = Ranks(*(int(os.environ.get(key, value)) for key, value in defaults.items()))
        if ranks.world > 1:
            _meet_through_slurm()
        return ranks
    return SINGLE_PROCESS


def _meet_through_slurm() -> None:
    """Where the processes of a job meet: the job's first node, at a port derived from its id."""
    from submitit.helpers import TorchDistributedEnvironment

    TorchDistributedEnvironment().export(overwrite=True, set_cuda_visible_devices=False)
