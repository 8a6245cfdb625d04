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
    earlier = ranks.broadcast(lambda: _earlier(folder))
    wanted = _is_wanted(run) if earlier is None else earlier
    if isinstance(run.trainer.config.compile, bool) and wanted != run.trainer.config.compile:
        console.print(
            f"trainer.compile={str(not wanted).lower()} is ignored: until now the network was "
            f"{'' if wanted else 'not '}compiled, and a change would change the last bits"
        )
    if not wanted:
        return False
    config, begin = run.trainer.config, time.perf_counter()
    num = getattr(config, "batch_size", 1) // config.micro_batches
    with reported("compiling the network"):
        failure = run.train_state.compile(num)
    failures = [text for text in ranks.all_gather(failure) if text]
    if failures:
        run.train_state.uncompile()
        so_far = ", though it was so far, so the last bits differ" if earlier else ""
        console.print(f"the network is not compiled{so_far}: {failures[0]}")
        return False
    console.print(f"the network was compiled in {elapsed(begin)}")
    return True


def _earlier(folder: RunFolder) -> bool | None:
    """What was decided when the run began; None: it begins now."""
    history = folder.read_history()
    if not history.trained_until:
        return None
    return history.document.get("compiled") is True


def _is_wanted(run: Run) -> bool:
    wanted = run.trainer.config.compile
    if isinstance(wanted, bool):
        return wanted
    return run.trainer.device.type == "cuda" and run.num_iterations >= _MIN_ITERATIONS
