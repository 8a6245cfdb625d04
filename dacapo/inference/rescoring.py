"""Scoring the checkpoints of a run again, with other options, without training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from inspect import isabstract
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dacapo.config import decode, scoring_fields
from dacapo.errors import InputError, did_you_mean
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreTable
from dacapo.experiments.tasks import PretrainedTaskConfig, TaskConfig
from dacapo.experiments.tasks.post_processors import PostProcessorConfig
from dacapo.experiments.validation_iteration_scores import ValidationIterationScores
from dacapo.runs import RunFolder, read_state

if TYPE_CHECKING:
    from dacapo.experiments.datasplits import VolumeConfig


@dataclass(frozen=True)
class Rescoring:
    """How checkpoints are to be scored.

    Attributes:
        task: options to change, as plain data.
        post_processor: the option of task/post_processor to use instead; None: that of the run.
        volumes: to score instead of the run's own; empty: those.
        iteration: the checkpoint to score; None: all that were kept.
        device: see `DefaultTrainerConfig`.
    """

    task: Mapping[str, Any] = field(default_factory=dict)
    post_processor: str | None = None
    volumes: Mapping[str, VolumeConfig] = field(default_factory=dict)
    iteration: int | None = None
    device: str = "auto"


def rescore(
    folder: RunFolder, wanted: Rescoring, report: Callable[[int], None] = lambda iteration: None
) -> ScoreTable:
    """Score the checkpoints of a run, and note the scores in its folder.

    What was scored in the same way before is not scored again.

    Args:
        report: called with the iteration of each checkpoint that is scored.

    Returns:
        All scores that can be compared with these.

    Raises:
        BusyError: the run is being trained.
        InputError: an option is not valid or decides the weights, a volume does not fit, or there
            is nothing to score.
    """
    state = read_state(folder)
    if state.name == "running" or state.queued:
        doing = "is being trained by" if state.name == "running" else "waits for"
        raise InputError(f"{folder.path} {doing} {state.who}: score it when it has ended")
    config = decode(folder.read_document(folder.read_history())["config"])
    if not isinstance(config, RunConfig):
        raise InputError(f"{folder.path}: its config is not that of a run")
    task_config = _changed(config.task_config, wanted)
    datasets = config.datasplit_config.build_part("validate", wanted.volumes)
    iterations = _iterations(folder, wanted.iteration)

    # torch starts here.
    from dacapo.experiments.run import score_header
    from dacapo.experiments.validation_scores import ValidationScores
    from dacapo.inference.saved import of_run
    from dacapo.inference.scoring import (
        check_scorable,
        check_volume,
        score_settings,
        volume_facts,
    )
    from dacapo.inference.trained import TrainedModel

    task = task_config.build()
    check_scorable(task, datasets)
    scores = ValidationScores(
        task.post_processor.enumerate_parameters(), datasets, task.evaluator.evaluation_scores
    )
    digests = {dataset.name: dataset.digest() for dataset in datasets}
    header = replace(score_header(scores, task_config, digests), facts=volume_facts(task, datasets))
    known = {s.iteration for s in folder.read_history().scores_like(header)}
    missing = [iteration for iteration in iterations if iteration not in known]

    def load(iteration: int) -> TrainedModel:
        return TrainedModel(of_run(folder, iteration, None), wanted.device)

    if missing:  # before anything is written
        first = load(missing[0])
        for dataset in datasets:
            check_volume(first, dataset)
    with folder.scoring(header) as writer:
        for iteration in missing:
            report(iteration)
            model = load(iteration)
            rows = [score_settings(model, task, dataset) for dataset in datasets]
            writer.add_scores(ValidationIterationScores(iteration, rows))
    table = folder.read_history().table()
    assert table is not None
    return table


def _changed(task: TaskConfig, wanted: Rescoring) -> TaskConfig:
    """The task of a run with other options of scoring."""
    given = dict(wanted.task)
    if isinstance(task, PretrainedTaskConfig):  # its weights are in the checkpoints
        given = {**given.pop("sub_task", {}), **given}
        task = replace(task.sub_task, criterion=task.criterion)
    made: Any = task
    if wanted.post_processor is not None:
        if not hasattr(task, "post_processor"):
            raise InputError("post_processor: this task has none that can be chosen")
        made = replace(made, post_processor=_named(wanted.post_processor))
    _check_given(given, made)
    try:
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(made), given))
    except OmegaConfBaseException as error:
        key = f"task.{getattr(error, 'full_key', '') or ''}"
        if wanted.post_processor is not None:
            key = f"post_processor={wanted.post_processor}, {key}"
        raise InputError(f"{key}: {str(error).splitlines()[0]}") from error
    assert isinstance(made, TaskConfig)
    return made


def _check_given(given: Mapping[str, Any], task: TaskConfig) -> None:
    """Refuse options that a task lacks, that decide its weights, or that are no lists."""
    known = scoring_fields(task)
    for key, value in given.items():
        if key not in known and hasattr(task, key):
            raise InputError(
                f"task.{key} decides the weights, which are trained already: train a run with it"
            )
        if key not in known:
            raise InputError(
                f"there is no key task.{key}{did_you_mean(key, known, prefix='task.')}"
            )
        if key == "post_processor" and not isinstance(value, Mapping):
            raise InputError(f"task.post_processor={value}: give post_processor={value}")
    processor = getattr(task, "post_processor", None)
    for key, value in given.get("post_processor", {}).items():
        full = f"task.post_processor.{key}"
        if not hasattr(processor, key):
            names = [f.name for f in fields(processor)]  # type: ignore[arg-type]
            raise InputError(f"there is no key {full}{did_you_mean(key, names)}")
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if isinstance(getattr(processor, key), list) and not is_list:
            raise InputError(f"{full}={value}: give a list of values to try, like [{value}]")


def _named(option: str) -> PostProcessorConfig:
    """A post-processor by its option of task/post_processor, such as mutex_watershed."""
    known = {_snake(cls.__name__): cls for cls in _subclasses(PostProcessorConfig)}
    if option not in known:
        raise InputError(
            f"post_processor={option}: there is none{did_you_mean(option, known)}; choose from "
            f"{', '.join(sorted(known))}"
        )
    return known[option]()


def _subclasses(cls: type[PostProcessorConfig]) -> Iterator[type[PostProcessorConfig]]:
    """Those that can be made."""
    for found in cls.__subclasses__():
        if not isabstract(found):
            yield found
        yield from _subclasses(found)


def _snake(name: str) -> str:
    """The name of a class as an option.

    >>> _snake("MutexWatershed")
    'mutex_watershed'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _iterations(folder: RunFolder, iteration: int | None) -> Sequence[int]:
    stored = folder.checkpoints()
    if not stored:
        raise InputError(f"{folder.path} has no checkpoint: there are no weights to score")
    if iteration is None:
        return stored
    if iteration not in stored:
        raise InputError(
            f"iteration={iteration}: {folder.path} has no such checkpoint; it has "
            f"{', '.join(map(str, stored))} (trainer.keep_every and trainer.keep_best keep more)"
        )
    return [iteration]
