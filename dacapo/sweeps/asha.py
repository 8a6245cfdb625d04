"""Stop runs of a sweep early: asynchronous successive halving (Li et al., 2020).

Each worker decides about its own run, at a few iterations (rungs), by the scores in the folders of
the other runs at that moment. This needs no server, and no run waits for another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import History, RunFolder, UnreadableError, find_run_folders

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
    own = folder.read_history().as_trained()
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


class ScoredRun(Protocol):
    """What halving needs to know about a run.

    Attributes:
        header: see `History`.
        iterations: of its validations.
        curve: the best mean over the datasets at each validation; NaN if there is none.
        outcome: how its last writer ended.
    """

    @property
    def header(self) -> ScoreHeader | None: ...

    @property
    def iterations(self) -> Sequence[int]: ...

    @property
    def curve(self) -> Sequence[float]: ...

    @property
    def outcome(self) -> Mapping[str, Any]: ...

    @property
    def trained_until(self) -> int: ...


def score_at(run: ScoredRun, iteration: int) -> float:
    """The best score of the validations up to an iteration; NaN if there is none."""
    if run.header is None:
        return math.nan
    pairs = zip(run.iterations, run.curve, strict=True)
    scores = [score for at, score in pairs if at <= iteration and not math.isnan(score)]
    return (max if run.header.find()[1] else min)(scores, default=math.nan)


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
            f"({self.saved / max(1, self.wanted):.0%}); risk of having stopped the best: {risk}"
        )


def savings(runs: Sequence[tuple[ScoredRun, int]]) -> Savings | None:
    """The savings over runs with their numbers of iterations; None if none was stopped."""
    stopped = [(run, wanted) for run, wanted in runs if run.outcome.get("status") == "stopped"]
    if not stopped:
        return None
    finished = [r for r, _ in runs if r.outcome.get("status") == "done" and r.iterations]
    spared = 1.0
    for run, _ in stopped:
        spared *= 1 - _chance(run, [r for r in finished if _alike(r, run)])
    return Savings(
        len(stopped),
        sum(wanted - run.trained_until for run, wanted in stopped),
        sum(wanted for _, wanted in runs),
        1 - spared,
        len(finished),
    )


def _chance(run: ScoredRun, peers: Sequence[ScoredRun]) -> float:
    """The probability that a stopped run would have ended better than all finished ones.

    The run is assumed to improve from where it was stopped as the finished ones did from there: by
    their mean, with the uncertainty of a new observation (Student's t).
    """
    from scipy import stats

    if len(peers) < _FEWEST or run.header is None or not run.iterations:
        return math.nan
    at, sign = run.iterations[-1], 1 if run.header.find()[1] else -1
    final = np.array([score_at(peer, peer.iterations[-1]) for peer in peers])
    gain = final - np.array([score_at(peer, at) for peer in peers])
    own = score_at(run, at)
    lead = sign * (own + gain.mean()) - (sign * final).max()
    if np.isnan(lead):
        return 0.0 if math.isnan(own) else math.nan
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
            try:
                history = other.read_history().as_trained()
            except (UnreadableError, FileNotFoundError):  # `status` reports it
                continue
            if history.validations and _alike(own, history):
                yield history


def _alike(one: ScoredRun, other: ScoredRun) -> bool:
    """Whether two runs are scored by the same criterion on the same volumes in the same way."""
    if one.header is None or other.header is None:
        return False
    keys = [(h.selected_by, list(h.datasets), h.evaluation) for h in (one.header, other.header)]
    return keys[0] == keys[1]


def _is_better(score: float, than: float, higher: bool) -> bool:
    if math.isnan(score) or math.isnan(than):
        return math.isnan(than) and not math.isnan(score)
    return score > than if higher else score < than
