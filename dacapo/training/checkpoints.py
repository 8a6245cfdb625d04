"""Resuming a run from its latest checkpoint, and writing checkpoints."""

from __future__ import annotations

from torch import Tensor

from dacapo.experiments.run import Run
from dacapo.runs import History, NoWriter, RunFolder, RunWriter
from dacapo.runs.checkpoint import CheckpointError
from dacapo.training.terminal import console


def resume(run: Run, folder: RunFolder, writer: RunWriter | NoWriter) -> None:
    """Load the latest intact checkpoint, or start from iteration 0."""
    ranks = run.ranks
    begin, state, history = ranks.broadcast(lambda: _latest(folder))
    if state is not None:
        run.train_state.load_state(state)
    elif message := run.begin(
        lambda source: ranks.broadcast(lambda: folder.read_weights_of(source))
    ):
        console.print(message)
    run.training_stats = history.training_stats
    run.training_stats.delete_after(begin)
    run.validation_scores.scores = history.scores
    run.validation_scores.delete_after(begin)
    writer.begin(begin, run.validation_scores.header(run.task.criterion))
    console.print(
        f"{folder.path}: {'training' if begin == 0 else 'resuming'} from iteration {begin} "
        f"to {run.num_iterations} on {run.trainer.device}"
        + (f", {ranks.world} processes" if ranks.world > 1 else "")
    )


def _latest(folder: RunFolder) -> tuple[int, dict[str, Tensor] | None, History]:
    """The latest intact checkpoint: its iteration and tensors; and the history."""
    history = folder.read_history()  # read again, as now no other process can add to it
    for iteration in reversed(folder.checkpoints()):
        try:
            state = folder.read_checkpoint(iteration)
        except CheckpointError as error:
            console.print(f"skipping a checkpoint, using an earlier one: {error}")
            continue
        if history.trained_until >= iteration:
            return iteration, state, history
        console.print(f"skipping checkpoint {iteration}: the log of its steps is shorter")
    return 0, None, history


def save(run: Run, folder: RunFolder, writer: RunWriter | NoWriter, iteration: int) -> None:
    """Write a checkpoint, and delete earlier ones that need not be kept."""
    if not isinstance(writer, RunWriter):
        return
    config = run.trainer.config
    keep = {i for i in folder.checkpoints() if config.keep_every and i % config.keep_every == 0}
    for criterion in (run.task.criterion, *config.keep_best):
        best = run.validation_scores.best(criterion)
        keep |= set() if best is None else {best.iteration}
    names = run.task.predictor.channel_names
    state, latest = run.train_state.state(), config.keep_latest
    writer.add_checkpoint(iteration, state, keep, latest=latest, channels=names)
