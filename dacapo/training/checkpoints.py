"""Go on where a run stopped, and leave what that takes."""

from __future__ import annotations

from torch import Tensor

from dacapo.experiments.run import Run
from dacapo.runs import Header, History, NoWriter, RunFolder, RunWriter
from dacapo.runs.checkpoint import CheckpointError
from dacapo.training.terminal import console


def resume(run: Run, folder: RunFolder, writer: RunWriter | NoWriter) -> None:
    """Load the latest checkpoint that is whole, or begin."""
    ranks = run.ranks
    begin, state, history = ranks.broadcast(lambda: _latest(folder))
    if state is not None:
        run.load_state(state)
    elif told := run.begin(lambda source: ranks.broadcast(lambda: folder.read_weights_of(source))):
        console.print(told)
    run.training_stats = history.training_stats
    run.training_stats.delete_after(begin)
    run.validation_scores.scores = history.scores
    run.validation_scores.delete_after(begin)
    writer.begin(begin, Header.of(run.validation_scores, run.task.criterion))
    console.print(
        f"{folder.path}: {'training' if begin == 0 else 'going on'} from iteration {begin} "
        f"to {run.num_iterations} on {run.trainer.device}"
        + (f", {ranks.world} processes" if ranks.world > 1 else "")
    )


def _latest(folder: RunFolder) -> tuple[int, dict[str, Tensor] | None, History]:
    """The latest checkpoint that is whole: its iteration and tensors; and the history."""
    history = folder.read_history()  # again: now nobody else can add to it
    for iteration in reversed(folder.checkpoints()):
        try:
            state = folder.read_checkpoint(iteration)
        except CheckpointError as error:
            console.print(f"checkpoint left out, going back to the one before: {error}")
            continue
        if history.trained_until >= iteration:
            return iteration, state, history
        console.print(f"checkpoint {iteration} left out: the log of its steps is shorter")
    return 0, None, history


def save(run: Run, folder: RunFolder, writer: RunWriter | NoWriter, iteration: int) -> None:
    """A checkpoint; and what is kept of the earlier ones."""
    if not isinstance(writer, RunWriter):
        return
    trainer = run.trainer
    keep = {i for i in folder.checkpoints() if trainer.keep_every and i % trainer.keep_every == 0}
    for criterion in (run.task.criterion, *trainer.keep_best):
        best = run.validation_scores.best(criterion)
        keep |= set() if best is None else {best.iteration}
    names = run.task.predictor.channel_names
    latest = trainer.keep_latest
    writer.add_checkpoint(iteration, run.state(), keep, latest=latest, channels=names)
