"""Stop runs of a sweep early: asynchronous successive halving (Li et al., 2020).

Each worker decides about its own run, at a few iterations (rungs), by the scores in the folders of
the other runs at that moment. This needs no server, and no run waits for another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.runs import History, RunFolder, find_run_folders

_FEWEST = 3
"""Number of finished runs from which a risk is estimated."""


def rungs(halving: HalvingConfig, run_config: RunConfig) -> list[int]:
    """Iterations at which a run may be stopped, neither during warm-up nor at the end."""
    end = run_config.num_iterations
    rung = halving.min_iterations or max(1, end // halving.factor**2)
    warm = getattr(run_config.trainer_config, "warmup_iterations", 0)
    found = []
    while rung < end:
        if rung > warm:
            found.append(rung)
        rung *= halving.factor
    return found


def is_never_stopped(
    halving: HalvingConfig, run_config: RunConfig, overrides: Sequence[str]
) -> bool:
    """Whether a run must never be stopped."""
    return any(
        marked == run_config.name or any(_same(marked, override) for override in overrides)
        for marked in halving.never_stop
    )


def _same(one: str, other: str) -> bool:
    """Whether two overrides are equivalent.

    >>> _same("a=1e-5", "+a=0.00001"), _same("a=1", "b=1"), _same("a=x", "a=y")
    (True, False, False)
    """
    (key, _, value), (other_key, _, other_value) = (
        o.lstrip("+").partition("=") for o in (one, other)
    )
    if key != other_key or value == other_value:
        return key == other_key
    try:
        return float(value) == float(other_value)
    except ValueError:
        return False


def reason_to_stop(
    halving: HalvingConfig,
    run_config: RunConfig,
    overrides: Sequence[str],
    folder: RunFolder,
    runs_dir: Path,
) -> str:
    """Why a run should stop at its latest validation; empty if it continues."""
    if is_never_stopped(halving, run_config, overrides):
        return ""
    own = folder.read_history()
    if not _at_rung(own, rungs(halving, run_config)) or own.header is None:
        return ""
    iteration = own.iterations[-1]
    scores = [
        score_at(other, iteration)
        for other in _comparable(own, folder, runs_dir)
        if other.iterations[-1] >= iteration
    ]
    if len(scores) + 1 < halving.factor:
        return ""
    higher = own.header.find()[1]
    mine = score_at(own, iteration)
    better = sum(_is_better(score, mine, higher) for score in scores)
    keep = math.ceil((len(scores) + 1) / halving.factor)
    if better < keep:
        return ""
    return (
        f"at iteration {iteration} {better} of {len(scores)} other runs are better than its "
        f"{own.header.selected_by} of {mine:.4g}, and {keep} may continue"
    )


def score_at(history: History, iteration: int) -> float:
    """The best score of the validations up to an iteration; NaN if there is none."""
    table = history.table()
    best = None if table is None else table.among(range(iteration + 1)).best()
    return math.nan if best is None else best.value


@dataclass(frozen=True)
class Savings:
    """The savings of stopping runs early, and the risk.

    Attributes:
        stopped: number of runs that were stopped.
        saved, wanted: iterations that were saved, and iterations of all runs in full.
        risk: estimated probability that a stopped run would have become the best; NaN if fewer than
            3 runs have finished.
        finished: number of finished runs on which the estimate is based.
    """

    stopped: int
    saved: int
    wanted: int
    risk: float
    finished: int

    def __str__(self) -> str:
        risk = (
            f"about {self.risk:.0%}, if they had improved as the {self.finished} finished runs did"
            if not math.isnan(self.risk)
            else f"not estimated, as {self.finished} finished runs are too few"
        )
        return (
            f"halving: {self.stopped} runs stopped, {self.saved} of {self.wanted} iterations saved "
            f"({self.saved / self.wanted:.0%}); risk of having stopped the best: {risk}"
        )


def savings(runs: Sequence[tuple[History, int]]) -> Savings | None:
    """The savings over runs with their numbers of iterations; None if none was stopped."""
    stopped = [(h, wanted) for h, wanted in runs if h.outcome.get("status") == "stopped"]
    if not stopped:
        return None
    finished = [h for h, _ in runs if h.is_done and h.validations]
    spared = 1.0
    for history, _ in stopped:
        spared *= 1 - _chance(history, finished)
    return Savings(
        len(stopped),
        sum(wanted - history.trained_until for history, wanted in stopped),
        sum(wanted for _, wanted in runs),
        1 - spared,
        len(finished),
    )


def _chance(history: History, finished: Sequence[History]) -> float:
    """The probability that a stopped run would have ended better than all finished ones.

    The run is assumed to improve from where it was stopped as the finished ones did from there: by
    their mean, with the uncertainty of a new observation (Student's t).
    """
    from scipy import stats

    peers = [h for h in finished if h.header is not None and _alike(h, history)]
    if len(peers) < _FEWEST or history.header is None or not history.iterations:
        return math.nan
    at, sign = history.iterations[-1], 1 if history.header.find()[1] else -1
    final = np.array([score_at(h, h.iterations[-1]) for h in peers])
    gain = final - np.array([score_at(h, at) for h in peers])
    lead = sign * (score_at(history, at) + gain.mean()) - (sign * final).max()
    if np.isnan(lead):
        return 0.0 if math.isnan(score_at(history, at)) else math.nan
    spread = gain.std(ddof=1) * math.sqrt(1 + 1 / len(peers))
    if spread == 0:
        return float(lead > 0)
    return float(stats.t.cdf(lead / spread, len(peers) - 1))


def _at_rung(history: History, stops: Sequence[int]) -> bool:
    """Whether the latest validation is the first at or beyond one of the rungs."""
    done = [0, *history.iterations]
    return len(done) > 1 and any(done[-2] < rung <= done[-1] for rung in stops)


def _comparable(own: History, folder: RunFolder, runs_dir: Path) -> Iterator[History]:
    for other in find_run_folders(runs_dir):
        if other.path.resolve() != folder.path.resolve():
            history = other.read_history()
            if history.validations and _alike(own, history):
                yield history


def _alike(one: History, other: History) -> bool:
    """Whether two runs are scored by the same criterion on the same volumes."""
    if one.header is None or other.header is None:
        return False
    return (one.header.selected_by, list(one.header.datasets)) == (
        other.header.selected_by,
        list(other.header.datasets),
    )


def _is_better(score: float, than: float, higher: bool) -> bool:
    if math.isnan(score) or math.isnan(than):
        return math.isnan(than) and not math.isnan(score)
    return score > than if higher else score < than
