"""What is left to do for a run, according to its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo import __version__
from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.run_config import RunConfig

if TYPE_CHECKING:  # it imports numpy, which composing a config does not need
    from dacapo.experiments.run import Run
    from dacapo.runs import History, RunFolder


@dataclass(frozen=True)
class RunRequest:
    """How a run was requested.

    Attributes:
        retry: whether to retry a run that has failed twice in the same way.
        halving: when to stop runs of a sweep early; None: never.
    """

    choices: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    retry: bool = False
    halving: HalvingConfig | None = None

    def document(self, run_config: RunConfig) -> dict[str, Any]:
        """The document that a run's folder keeps: config, options and overrides."""
        return {
            "dacapo": __version__,
            "config": encode(run_config),
            "identity": run_config.identity(),
            "choices": self.choices,
            "overrides": self.overrides,
        }

    def reason_to_prune(self, run: Run, folder: RunFolder) -> str:
        """Why the run should stop, given the scores of other runs; empty if it continues."""
        if self.halving is None:
            return ""
        from dacapo.sweeps.asha import reason_to_stop

        runs_dir = folder.path.parent.parent
        return reason_to_stop(self.halving, run.config, self.overrides, folder, runs_dir)


@dataclass(frozen=True)
class RunPlan:
    """What to do with a run.

    Attributes:
        action: `train`, or the reason why not: `done`, `running`, `waiting`, `stopped`, `failed`
            (twice in the same way).
        text: one line about it.
        history: the history of the run.
    """

    action: str
    text: str
    history: History

    def refuse(self, folder: RunFolder) -> None:
        """Raise the error of a run that has failed twice in the same way."""
        from dacapo.runs import read_state

        if self.action == "failed":
            raise InputError(
                f"{self.text} (traceback: {read_state(folder).log}); after correcting its cause, "
                f"retry with retry=true"
            )


def run_folder(run_config: RunConfig, runs_dir: Path) -> RunFolder:
    """`runs_dir/name/repetition`."""
    from dacapo.runs import RunFolder

    return RunFolder(runs_dir / run_config.name / str(run_config.repetition))


def plan_run(folder: RunFolder, run_config: RunConfig, request: RunRequest) -> RunPlan:
    """Decide what to do with a run, without changing anything.

    Raises:
        InputError: the folder holds a run with another config.
    """
    from dacapo.runs import failed_alike, read_state

    folder.check_identity({"identity": run_config.identity()})
    history = folder.read_history()
    state = read_state(folder, history)
    alike = failed_alike(history)
    ended_early = str(history.outcome.get("why", ""))
    is_over = history.trained_until >= run_config.num_iterations or ended_early
    # A damaged history is restored from the last checkpoint, without further training.
    is_restorable = history.damage and folder.checkpoints()[-1:] == [history.trained_until]
    if history.is_done and is_over and not is_restorable:
        best, header = history.best(), history.header
        score = f", {header.selected_by} {best.value:.4g}" if best and header else ""
        hint = ended_early or "a larger num_iterations trains it further"
        if otherwise := history.scored_otherwise(run_config.task_config.scoring()):
            hint = otherwise
        text = f"{folder.path} is finished{score}; {hint}"
        return RunPlan("done", text, history)
    beyond = max(folder.checkpoints(), default=0)
    if beyond > run_config.num_iterations:
        raise InputError(
            f"{folder.path} has been trained until {beyond}, beyond "
            f"num_iterations={run_config.num_iterations}"
        )
    if state.name == "running":
        return RunPlan("running", f"{folder.path} is being trained by {state.who}", history)
    if state.queued:
        return RunPlan("waiting", f"{folder.path} waits for {state.who}", history)
    if state.name == "stopped" and _stays_stopped(run_config, request):
        return RunPlan("stopped", f"{folder.path} is stopped: {ended_early}", history)
    if alike and not request.retry:
        return RunPlan("failed", f"{folder.path}: failed twice in the same way: {alike}", history)
    return RunPlan("train", "", history)


def _stays_stopped(run_config: RunConfig, request: RunRequest) -> bool:
    from dacapo.sweeps.asha import is_never_stopped

    halving = request.halving
    return halving is not None and not is_never_stopped(halving, run_config, request.overrides)
