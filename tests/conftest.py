"""Small runs for the tests: a second or two each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run side by side
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # `nohup` and `&` in a script ignore Ctrl-C for all that they start, also for what tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from dacapo.config import conf_dir
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import RunFolder

# Real volumes are no part of the project: a test that needs one is skipped where they are not.
DATA = Path(os.environ.get("DACAPO_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")

SMALL = [
    "datasplit.train_shape=[48,48,48]",
    "datasplit.validate_shape=[24,32,32]",
    "datasplit.cell_size=10",
    "architecture.input_shape=[28,28,28]",
    "architecture.eval_shape_increase=[8,8,8]",
    "architecture.downsample_factors=[[2,2,2]]",
    "architecture.num_fmaps=4",
    "trainer.warmup_iterations=2",
    "num_iterations=6",
    "validation_interval=4",
]
_NEIGHBORHOOD = "task.neighborhood=[[1,0,0],[0,1,0],[0,0,1],[4,0,0],[0,4,0],[0,0,4]]"
SMALL_AFFINITIES = [
    *SMALL,
    _NEIGHBORHOOD,
    "task.post_processor.bias=[0.3,0.5]",
    "task.post_processor.long_bias=[0.5]",
    "task.post_processor.min_size=[0]",
]
_CLASSES = ["task.classes={membrane: [1], body: [2]}", "datasplit=synthetic_classes"]
_CELLS = ["datasplit=synthetic_sparse", "datasplit.gap=2"]
TASKS = {
    "affinities": [_NEIGHBORHOOD],
    "affinities_lsds": [_NEIGHBORHOOD, "task.lsd_sigma=1.5"],
    "affinities task/post_processor=agglomeration": [_NEIGHBORHOOD],
    "distance": [*_CELLS, "task.scale=3"],
    "distance_classes": [*_CLASSES, "task.scale=3"],
    "hot_distance": [*_CLASSES, "task.scale=3"],
    "inner_distance": [*_CELLS, "task.scale=3"],
    "one_hot": _CLASSES,
    "boundary": _CELLS,
}
"""Every task, with what makes it a matter of seconds."""


def composed(*overrides: str) -> DictConfig:
    """The config that a command line gives."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def small_run_config(*overrides: str) -> RunConfig:
    """A run of seconds."""
    return RunConfig.from_hydra(composed(*SMALL_AFFINITIES, *overrides))


def small_task_config(task: str, *overrides: str) -> RunConfig:
    """A run of seconds of one of `TASKS`."""
    chosen = f"task={task}".split()
    return RunConfig.from_hydra(composed(*SMALL, *chosen, *TASKS[task], *overrides))


def data_file(name: str) -> Path:
    """A real volume; the test is skipped where it is not there."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs the real volume {name} in {DATA} (or set DACAPO_TEST_DATA)")
    return path


torch.set_num_threads(1)  # so that sums are rounded alike, also in fixtures of a wider scope


@pytest.fixture
def rng() -> np.random.Generator:
    """For random kills; a failure shows the seed, which DACAPO_SEED repeats."""
    seed = int(os.environ.get("DACAPO_SEED") or np.random.default_rng().integers(2**32))
    print(f"DACAPO_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread again, whatever a test has set."""
    yield
    torch.set_num_threads(1)


def write_hdf5(path: Path, arrays: dict[str, Any], **attributes: Any) -> str:
    """An HDF5 file with datasets of the same attributes."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array)
            for key, value in attributes.items():
                dataset.attrs[key] = value
    return str(path)


def run_document(name: str, num_iterations: int = 6, repetition: int = 0) -> dict[str, Any]:
    """The document of a run's folder, without the options of its groups."""
    config = {"name": name, "repetition": repetition, "num_iterations": num_iterations}
    return {"config": config, "identity": {}, "choices": {}, "overrides": []}


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep in the user's folders goes with the tests; matplotlib's fonts stay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", os.path.expanduser("~/.cache/matplotlib"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


HEADER = ScoreHeader(["a"], [{"label": "x"}], [{"name": "voi", "higher_is_better": 0}], "voi")


def write_run(runs_dir: Path, name: str, steps: int, status: str, **notes: Any) -> RunFolder:
    """The folder of a run of 10 iterations that has trained some of them."""
    folder = RunFolder(runs_dir / name / "0")
    with folder.writing(run_document(name, 10)) as writer:
        writer.begin(0, HEADER)
        for step in range(steps):
            writer.add_step(TrainingIterationStats(step, 10.0 - step, 0.5))
        if steps:
            writer.add_scores(ValidationIterationScores(steps, [[[1.5]]]))
        writer.finish(status, **notes)
    return folder
