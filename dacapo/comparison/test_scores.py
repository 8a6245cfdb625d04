"""Scores on test volumes: nothing is chosen by them, and each time they are opened is on record."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dacapo.comparison.run_record import RunRecord
from dacapo.config import decode, identity, identity_hash
from dacapo.errors import InputError, warn
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import Best, Rule, texts
from dacapo.processes.files import (
    locked,
    parse,
    parse_json,
    read_regular,
    reading,
    write_atomically,
)
from dacapo.runs import RunFolder

if TYPE_CHECKING:
    import xarray as xr

    from dacapo.experiments.datasplits import VolumeConfig
    from dacapo.experiments.datasplits.datasets import Dataset
    from dacapo.inference.saved import SavedModel

FILE = "test.json"
"""The file of a run with the scores of its test volumes."""


@dataclass(frozen=True)
class VolumeScore:
    """The scores of one volume.

    Attributes:
        key: identifies weights, parameters, volume and how it was scored.
        iteration: number of training steps of the weights.
        parameters: of the post-processor, by name.
        scores: criterion -> score; null for NaN.
        digest: of the voxels, see `Dataset.digest`.
    """

    volume: str
    key: str
    iteration: int
    parameters: dict[str, Any]
    scores: dict[str, Any]
    digest: str

    def is_selected(self, best: Best | None) -> bool:
        """Whether it is of the iteration and the parameters that validation selects."""
        label = ",".join(f"{name}={value}" for name, value in self.parameters.items()) or "none"
        return best is not None and (self.iteration, label) == (best.iteration, best.label)

    def values(self) -> dict[str, float]:
        return {name: nan if v is None else float(v) for name, v in self.scores.items()}


@dataclass(frozen=True)
class Opening:
    """One time that test volumes were opened.

    Attributes:
        time: UTC, in ISO 8601.
    """

    time: str
    user: str
    reason: str
    volumes: list[Any]


@dataclass
class FinalScores:
    """The scores of a run on its test volumes, and when these were opened."""

    scores: list[VolumeScore] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)

    def latest(self) -> dict[str, VolumeScore]:
        """Volume -> its newest scores."""
        return {score.volume: score for score in self.scores}


def read_final_scores(folder: RunFolder) -> FinalScores:
    """The test scores of a run so far.

    Raises:
        UnreadableError: the file is damaged.
    """
    path = folder.path / FILE
    if not path.exists():
        return FinalScores()
    with reading(path):
        plain = parse_json(read_regular(path))
        found = FinalScores(
            [parse(VolumeScore, score) for score in plain.get("scores", ())],
            [parse(Opening, opening) for opening in plain.get("openings", ())],
        )
        for score in found.scores:
            if not all(v is None or isinstance(v, int | float) for v in score.scores.values()):
                raise ValueError(f"the scores of {score.volume} are not numbers")
        return found


def score_test_volumes(
    folder: RunFolder, volumes: Mapping[str, VolumeConfig], reason: str, rule: Rule = Rule.best
) -> FinalScores:
    """Score the test volumes of a run with the iteration and parameters chosen by validation.

    What was scored before is not scored again. Nothing is chosen on the test volumes.

    Args:
        volumes: instead of those of the run; empty: those.
        reason: noted with the time and the user.
        rule: by which validation chooses.

    Raises:
        InputError: the run has no validation score or no checkpoint, or a volume cannot be scored.
    """
    from dacapo.inference.saved import of_run

    config = decode(folder.read_document(folder.read_history())["config"])
    if not isinstance(config, RunConfig):
        raise InputError(f"{folder.path}: its config is not that of a run")
    datasets = config.datasplit_config.build_part("test", volumes)
    if not datasets:
        return read_final_scores(folder)
    configured = volumes or getattr(config.datasplit_config, "test", {})
    saved = of_run(folder, None, None, rule)
    if saved.parameters is None:
        raise InputError(
            f"{folder.path}: there is no validation score by which to choose an iteration"
        )
    # Not a look at them: what was scored already is recognised by its voxels.
    digests = {dataset.name: dataset.digest() for dataset in datasets}
    used = configured if isinstance(configured, Mapping) else {}
    made = [saved.digest, saved.setting, fixed_options(saved), identity(config.datasplit_config)]
    keys = {
        name: identity_hash([*made, name, identity(used.get(name)), digest])
        for name, digest in digests.items()
    }
    busy = f"{folder.path}: another process is scoring its test volumes"
    with locked(folder.path / FILE, busy):
        record = read_final_scores(folder)
        known = {score.key: score for score in record.scores}
        missing = [dataset for dataset in datasets if keys[dataset.name] not in known]
        if missing:
            _check_apart(config, missing)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            names = [dataset.name for dataset in missing]
            record.openings.append(Opening(now, _user(), reason, names))
            _write(folder, record)  # before anything is seen
            for score in _scored(folder, saved, missing, keys, digests):
                known[score.key] = score
                record.scores = list(known.values())
                _write(folder, record)
        current = [known[key] for key in keys.values() if key in known]
        record.scores = [s for s in known.values() if s not in current] + current
        _write(folder, record)
    return record


def fixed_options(saved: SavedModel) -> Any:
    """What decides a score, but for the parameters of the post-processor that are tried."""
    plain = identity(saved.task)
    if isinstance(processor := plain.get("post_processor"), dict):
        plain["post_processor"] = {k: v for k, v in processor.items() if not isinstance(v, list)}
    return plain


def _scored(
    folder: RunFolder, saved: SavedModel, datasets: Sequence[Dataset], keys: Mapping[str, str],
    digests: Mapping[str, str],
) -> Iterator[VolumeScore]:  # fmt: skip
    """The scores of volumes, one by one; those that cannot be scored are left out."""
    from dacapo.inference.scoring import score_test
    from dacapo.inference.trained import TrainedModel

    model = TrainedModel(saved)
    for dataset in datasets:
        name = dataset.name
        try:
            values = score_test(model, dataset)
        except InputError as error:
            warn(f"{folder.label}: {name} is not scored: {error}")
            continue
        plain = {criterion: v if isfinite(v) else None for criterion, v in values.items()}
        parameters = dict(model.parameters or {})
        yield VolumeScore(name, keys[name], saved.iteration, parameters, plain, digests[name])


def score_test_runs(
    runs: Sequence[RunRecord],
    runs_dir: Path,
    volumes: Mapping[str, VolumeConfig],
    reason: str,
    rule: Rule = Rule.best,
) -> None:
    """Score the test volumes of all runs that have some.

    Raises:
        InputError: no run has.
    """
    has_scores = False
    for run in runs:
        try:
            has_scores |= bool(score_test_volumes(run.folder, volumes, reason, rule).scores)
        except InputError as error:
            warn(f"{run.label}: its test volumes are not scored: {error}")
    if not has_scores:
        raise InputError(
            f"test=true: no run below {runs_dir} has weights that were validated and volumes in "
            f"datasplit.test: name them, as in 'datasplit.test={{t: {{raw: vol.h5:raw, gt: "
            f"vol.h5:labels}}}}'"
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user on this machine, as in some containers
        return f"uid {os.getuid()}"


def _check_apart(config: RunConfig, test: Sequence[Dataset]) -> None:
    """Refuse test volumes that the run was trained on, as far as its data can still be opened."""
    try:
        datasplit = config.datasplit_config.build()
    except InputError as error:
        warn(f"whether the test volumes overlap the training data cannot be checked: {error}")
        return
    replace(datasplit, test=test).check_apart(test[0].gt.voxel_size * 0)


def _write(folder: RunFolder, record: FinalScores) -> None:
    write_atomically(folder.path / FILE, json.dumps(asdict(record), indent=1).encode())


def add_test_scores(
    dataset: xr.Dataset, found: Mapping[str, Mapping[str, VolumeScore]]
) -> xr.Dataset:
    """Add a variable `test_CRITERION(runs, test_datasets)` for each criterion, if there are any."""
    if not found:
        return dataset
    labels = [str(label) for label in dataset["runs"].values]
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    variables: dict[str, Any] = {}
    for label, scores in found.items():
        for name, score in scores.items():
            for criterion, value in score.values().items():
                key = f"test_{criterion}"
                if key not in variables:
                    attributes = {**dataset[criterion].attrs} if criterion in dataset else {}
                    shape = (len(labels), len(names))
                    variables[key] = (
                        ("runs", "test_datasets"), np.full(shape, np.nan), attributes
                    )  # fmt: skip
                variables[key][1][labels.index(label), names.index(name)] = value
    return dataset.assign(variables).assign_coords(test_datasets=texts(names))
