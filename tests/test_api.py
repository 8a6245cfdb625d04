"""The public names, and that asking for one imports no more than it needs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dacapo
from tests import public_api

NAMES = {
    "dacapo.experiments": [
        "Model", "RunConfig", "TrainingIterationStats", "TrainingStats",
        "ValidationIterationScores", "ValidationScores",
    ],
    "dacapo.experiments.model": ["Model"],
    "dacapo.experiments.run": ["Run"],
    "dacapo.experiments.run_config": ["RunConfig"],
    "dacapo.experiments.training_iteration_stats": ["TrainingIterationStats"],
    "dacapo.experiments.training_stats": ["TrainingStats"],
    "dacapo.experiments.validation_iteration_scores": ["ValidationIterationScores"],
    "dacapo.experiments.validation_scores": ["ValidationScores"],
    "dacapo.experiments.architectures": ["Architecture", "ArchitectureConfig"],
    "dacapo.experiments.architectures.architecture": ["Architecture"],
    "dacapo.experiments.arraytypes": [
        "IntensitiesArray", "AnnotationArray", "BinaryArray", "MaskArray", "DistanceArray",
        "EmbeddingArray", "ProbabilityArray",
    ],
    "dacapo.experiments.datasplits": ["DataSplit", "DataSplitConfig"],
    "dacapo.experiments.datasplits.datasets": ["Dataset"],
    "dacapo.experiments.starts": ["Start", "StartConfig"],
    "dacapo.experiments.tasks": ["Task", "TaskConfig"],
    "dacapo.experiments.tasks.evaluators": ["Evaluator", "EvaluationScores"],
    "dacapo.experiments.tasks.losses": ["Loss"],
    "dacapo.experiments.tasks.post_processors": ["PostProcessor", "PostProcessorParameters"],
    "dacapo.experiments.tasks.predictors": ["Predictor"],
    "dacapo.experiments.trainers": ["Trainer", "TrainerConfig"],
}  # fmt: skip


@pytest.mark.parametrize("module", NAMES)
def test_public_names(module: str) -> None:
    imported = importlib.import_module(module)
    for name in NAMES[module]:
        assert getattr(imported, name).__name__ == name
        assert name in getattr(imported, "__all__", [name])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nope'"):
        importlib.import_module("dacapo.experiments").Nope  # noqa: B018


@pytest.mark.parametrize(
    "statement",
    [
        "from dacapo.experiments import RunConfig, TrainingStats, ValidationScores",
        "from dacapo.experiments.tasks import AffinitiesTaskConfig",
        "from dacapo.experiments.trainers import DefaultTrainerConfig",
        "import dacapo.train",
    ],
)
def test_configs_and_stats_import_no_torch(statement: str) -> None:
    code = f"{statement}\nimport sys; print([m for m in ('torch', 'xarray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_whether_values_may_be_interpolated() -> None:
    from dacapo.experiments import arraytypes

    may = {n for n in arraytypes.__all__ if getattr(getattr(arraytypes, n), "interpolatable", None)}
    assert may == {"IntensitiesArray", "DistanceArray", "EmbeddingArray", "ProbabilityArray"}


def test_the_public_api_is_what_it_was() -> None:
    """If it was changed on purpose: python -m tests.public_api, and a line in CHANGELOG.md."""
    assert public_api.text() == public_api.GOLDEN.read_text()


def test_types_are_shipped() -> None:
    assert (Path(dacapo.__file__).parent / "py.typed").exists()
