"""Scores on the test volumes, which only the final comparison uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.config import decode
from dacapo.errors import InputError, warn
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import texts
from dacapo.runs import RunFolder
from dacapo.runs.checkpoint import CheckpointError

if TYPE_CHECKING:
    import xarray as xr

Scores = dict[str, dict[str, float]]
"""Dataset -> criterion -> score."""


def score_test_volumes(folder: RunFolder) -> Scores:
    """Score the test volumes of a run with the iteration and parameters chosen by validation.

    Nothing is chosen on the test volumes.

    Raises:
        InputError: the run has no validation score or no checkpoint, or a volume cannot be scored.
    """
    from dacapo.experiments.run import Run
    from dacapo.inference.ground_truth import ground_truth
    from dacapo.inference.scoring import segment

    history = folder.read_history()
    run_config = decode(folder.read_document(history)["config"])
    if not isinstance(run_config, RunConfig):
        raise InputError(f"{folder.path}: its config is not that of a run")
    best = history.best()
    if best is None:
        raise InputError(
            f"{folder.path}: there is no validation score by which to choose an iteration"
        )
    run = Run(run_config)
    try:
        run.train_state.load_state(folder.read_checkpoint(best.iteration))
    except (CheckpointError, OSError) as error:
        raise InputError(f"{folder.path}: {error}") from error
    scores: Scores = {}
    for dataset in run.datasplit.test:
        dataset.check_annotated(to_score=True)
        known = ground_truth(dataset, run.task.predictor.classes)
        evaluated = run.task.evaluator.against(known)(segment(run, dataset, best.parameters))
        scores[dataset.name] = {
            criterion: float(getattr(evaluated, criterion))
            for criterion in run.validation_scores.criteria
        }
    return scores


def score_test_runs(labels: Sequence[str], runs_dir: Path) -> dict[str, Scores]:
    """Run -> scores of its test volumes, for all of these runs that have test volumes."""
    found = {}
    for label in labels:
        try:
            scores = score_test_volumes(RunFolder(runs_dir / label))
        except InputError as error:
            warn(f"{label}: its test volumes are not scored: {error}")
            continue
        if scores:
            found[label] = scores
    if not found:
        raise InputError(
            f"test=true: no run below {runs_dir} is finished and has volumes in datasplit.test"
        )
    return found


def add_test_scores(dataset: xr.Dataset, found: Mapping[str, Scores]) -> xr.Dataset:
    """Add a variable `test_CRITERION(runs, test_datasets)` for each criterion."""
    labels = [str(label) for label in dataset["runs"].values]
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    variables: dict[str, Any] = {}
    for label, scores in found.items():
        for name, values in scores.items():
            for criterion, value in values.items():
                key = f"test_{criterion}"
                if key not in variables:
                    attributes = {**dataset[criterion].attrs}
                    variables[key] = (
                        ("runs", "test_datasets"),
                        np.full((len(labels), len(names)), np.nan),
                        attributes,
                    )
                variables[key][1][labels.index(label), names.index(name)] = value
    return dataset.assign(variables).assign_coords(test_datasets=texts(names))
