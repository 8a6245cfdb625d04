"""`python -m dacapo.validate run=NAME/0 'task.post_processor.bias=[0.2,0.3,0.4]'`: score again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError, warn
from dacapo.experiments.datasplits import VolumeConfig

if TYPE_CHECKING:
    from dacapo.runs import RunFolder


@config(None)
@dataclass(kw_only=True)
class ValidationVolumes(Config):
    """Validation volumes that are named after training."""

    validate: dict[str, VolumeConfig] = field(default_factory=dict)
    """Name -> volume, instead of those that the run was trained with; options that a volume lacks
    are those of the run's data split."""


@config(None)
@dataclass(kw_only=True)
class ValidateConfig(Config):
    """Score the checkpoints that runs have kept again, without training: with other parameters of
    the post-processor, other criteria or other volumes.

    Scores are added to the runs and used by dacapo.compare, dacapo.predict and dacapo.segment.
    """

    run: list[str] = field(default_factory=list)
    """The runs: folders, name/repetition below runs_dir, or a name for all its repetitions
    (default: all runs below runs_dir)."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    task: dict[str, Any] = field(default_factory=dict)
    """Options of the task that decide scores alone, such as task.post_processor.bias=[0.2,0.4],
    task.criterion=f1_50 or task.ignore_smaller=100."""
    post_processor: str | None = None
    """Another option of task/post_processor, such as agglomeration (default: that of the run)."""
    datasplit: ValidationVolumes = field(default_factory=ValidationVolumes)
    """Validation volumes that are named after training."""
    iteration: int | None = ranged(None, low=0)
    """The checkpoint to score (default: all that were kept)."""
    device: str = "auto"
    """cpu, cuda, cuda:1... (default: a GPU if there is one)."""


def main() -> None:
    """The command line."""
    run_command(ValidateConfig, validate_command)


def validate_command(options: ValidateConfig) -> int:
    """Score again; the exit status is 1 when a run could not be scored."""
    from dacapo.inference.rescoring import Rescoring, rescore
    from dacapo.training.terminal import console, show_scores

    wanted = Rescoring(
        options.task, options.post_processor, options.datasplit.validate, options.iteration,
        options.device,
    )  # fmt: skip
    folders = _find(options.run, Path(options.runs_dir))
    failed = 0
    for folder in folders:
        label, before = folder.label, _selected(folder)
        try:
            table = rescore(
                folder,
                wanted,
                lambda i, label=label: console.print(f"{label}: iteration {i}"),  # type: ignore[misc]
            )
        except InputError as error:
            if len(folders) == 1:
                raise
            warn(f"{label} is not scored: {error}")
            failed = 1
            continue
        console.print(f"{label}")
        show_scores(table, table.header.selected_by)
        if (now := _selected(folder)) != before:
            console.print(f"predict, segment and compare use {now}; before: {before}")
    return failed


def _selected(folder: RunFolder) -> str:
    """What the scores of a run select, in words."""
    history = folder.read_history()
    best = history.best()
    if best is None:
        return "nothing"
    processor = history.header_of(best).settings.get("task", {}).get("post_processor")
    name = processor.get("_type_", "") if isinstance(processor, dict) else ""
    return f"iteration {best.iteration}, {name} {best.label}".replace("  ", " ")


def _find(runs: list[str], runs_dir: Path) -> list[RunFolder]:
    """The folders of runs; each once."""
    from dacapo.runs import RunFolder, find_run_folders, missing_run

    every = find_run_folders(runs_dir) if runs_dir.is_dir() else []
    found = [] if runs else every
    for run in runs:
        path = Path(run) if Path(run).is_dir() else runs_dir / run
        folder = RunFolder(path)
        own = [folder] if folder.holds_run() else [f for f in every if f.path.parent == path]
        if not own:
            raise InputError(missing_run(run, runs_dir))
        found += own
    if not found:
        raise InputError(f"runs_dir={runs_dir}: the folder holds no runs")
    return list({folder.path.resolve(): folder for folder in found}.values())


if __name__ == "__main__":
    main()
