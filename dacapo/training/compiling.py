"""Whether the network of a run is compiled."""

from __future__ import annotations

import time

from dacapo.experiments.run import Run
from dacapo.runs import RunFolder
from dacapo.training.terminal import console, elapsed, reported

_MIN_ITERATIONS = 5000
"""Iterations on a GPU from which compiling pays off."""


def compile_network(run: Run, folder: RunFolder) -> bool:
    """Compile the network if `trainer.compile` says so; returns whether it is compiled.

    The first process of a run decides, and all later ones do the same: a compiled network differs
    in the last bits.
    """
    ranks = run.ranks
    if not ranks.broadcast(lambda: _wanted(run, folder)):
        return False
    config, begin = run.trainer.config, time.perf_counter()
    num = getattr(config, "batch_size", 1) // config.micro_batches
    with reported("compiling the network"):
        failure = run.train_state.compile(num)
    failures = [text for text in ranks.all_gather(failure) if text]
    if failures:
        run.train_state.uncompile()
        console.print(f"the network is not compiled: {failures[0]}")
        return False
    console.print(f"the network was compiled in {elapsed(begin)}")
    return True


def _wanted(run: Run, folder: RunFolder) -> bool:
    earlier = folder.read_history().document.get("compiled")
    if isinstance(earlier, bool):
        return earlier
    wanted = run.trainer.config.compile
    if isinstance(wanted, bool):
        return wanted
    return run.trainer.device.type == "cuda" and run.num_iterations >= _MIN_ITERATIONS
