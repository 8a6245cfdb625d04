"""Resuming a run from its latest checkpoint, and writing checkpoints."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from dacapo.experiments.run import Run
from dacapo.experiments.score_table import ScoreHeader
from dacapo.inference.scoring import volume_facts
from dacapo.runs import NoWriter, Past, RunFolder, RunWriter
from dacapo.runs.checkpoint import CheckpointError
from dacapo.training.terminal import console


def resume(run: Run, folder: RunFolder, writer: RunWriter | NoWriter) -> ScoreHeader:
    """Load the latest intact checkpoint, or start from iteration 0; returns what the scores to come
    mean."""
    ranks = run.ranks
    facts = ranks.broadcast(lambda: volume_facts(run.task, run.datasplit.validate))
    header = replace(run.score_header(), facts=facts)
    begin, state, past = ranks.broadcast(lambda: _latest(folder, header))
    if state is not None:
        run.train_state.load_state(state)
    elif message := run.begin(
        lambda source: ranks.broadcast(lambda: folder.read_weights_of(source))
    ):
        console.print(message)
    run.training_stats = past.training_stats
    if past.header is not None and past.header.is_like(header):
        run.validation_scores.scores = past.scores
    keep = ranks.broadcast(lambda: _best_of_others(folder, header))
    writer.begin(begin, header, replace(past, scores=run.validation_scores.scores), keep)
    console.print(
        f"{folder.path}: {'training' if begin == 0 else 'resuming'} from iteration {begin} "
        f"to {run.num_iterations} on {run.trainer.device}"
        + (f", {ranks.world} processes" if ranks.world > 1 else "")
    )
    return header


def _best_of_others(folder: RunFolder, header: ScoreHeader) -> set[int]:
    """The best checkpoint by scores that training does not go by: of another post-processor, or
    added later."""
    history = folder.read_history()
    known = [s.is_rescored or not s.header.is_like(header) for s in history.validations]
    best = history.best() if any(known) else None
    return set() if best is None else {best.iteration}


def _latest(folder: RunFolder, header: ScoreHeader) -> tuple[int, dict[str, Tensor] | None, Past]:
    """The latest intact checkpoint: its iteration and tensors, and the history up to there."""
    history = folder.read_history()  # read again, as now no other process can add to it
    for damage in history.damage:
        console.print(f"warning: {folder.path}/{damage}")
    for iteration in reversed(folder.checkpoints()):
        try:
            state, _, past = folder.read_whole_checkpoint(iteration)
        except CheckpointError as error:
            console.print(f"skipping a checkpoint, using an earlier one: {error}")
            continue
        logged = history.past(header)
        is_whole = past is not None and len(past.steps) == iteration
        if past is not None and is_whole and (history.damage or len(logged.steps) < iteration):
            console.print(f"the history is restored from checkpoint {iteration}")
            if any(s.is_rescored for s in (*history.validations, *history.others)):
                console.print("the scores of dacapo.validate are lost: score the run again")
            return iteration, state, _restored(past, logged, iteration)
        if len(logged.steps) >= iteration:
            return iteration, state, _until(logged, iteration)
        console.print(f"skipping checkpoint {iteration}: the log of its steps is shorter")
    return 0, None, _until(history.past(header), 0)


def _until(past: Past, iteration: int) -> Past:
    scores = [s for s in past.scores if s.iteration <= iteration]
    return replace(past, steps=past.steps[:iteration], scores=scores)


def _restored(past: Past, logged: Past, iteration: int) -> Past:
    """The history of a checkpoint, and the scores of its own weights, which were logged later."""
    if past.header is not None and logged.header is not None:
        later = [s for s in logged.scores if s.iteration == iteration]
        if past.header.is_like(logged.header):
            past = replace(past, scores=past.scores + later)
    return replace(past, is_restored=True)


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
