"""`python -m dacapo.train`, one run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dacapo.runs import RunFolder
from tests.command_line import ROOT, command, environment, history, run
from tests.conftest import SMALL, SMALL_AFFINITIES, write_hdf5


def test_a_run_from_the_command_line(tmp_path: Path) -> None:
    status, out, err = run(tmp_path, *SMALL_AFFINITIES, "name=a")
    assert status == 0, err
    assert "picture: runs/a/0/picture.png" in out
    assert history(tmp_path / "runs").is_done
    status, out, err = run(tmp_path, *SMALL_AFFINITIES, "name=a")
    assert status == 0
    assert "is finished" in out
    # Another config under the name is refused, in one line, and nothing is touched.
    status, out, err = run(tmp_path, *SMALL_AFFINITIES, "name=a", "trainer.learning_rate=0.5")
    assert status == 1
    assert err.startswith("error: runs/a/0 holds a run with another config: trainer.learning_rate")


@pytest.mark.parametrize("preset", ["limit", "overfit", "profiler"])
def test_debug_presets(tmp_path: Path, preset: str) -> None:
    status, _, err = run(
        tmp_path, f"debug={preset}", *SMALL_AFFINITIES, "name=a", "num_iterations=40",
        "validation_interval=40",
    )  # fmt: skip
    assert status == 0, err
    folder = RunFolder(tmp_path / "runs" / "debug" / "a" / "0")
    losses = folder.read_history().steps[:, 0]
    assert (folder.path / "profile.json").exists() == (preset == "profiler")
    if preset == "profiler":
        assert "Self CPU" in (folder.path / "profile.txt").read_text()
    if preset == "overfit":
        assert losses[-5:].mean() < 0.98 * losses[:5].mean()


def test_a_method_of_ones_own_from_outside(tmp_path: Path) -> None:
    """A script of three lines and one yaml add a task."""
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from dacapo.config import config\n"
        "from dacapo.experiments.tasks import AffinitiesTaskConfig\n"
        "@config('task')\n"
        "@dataclass(kw_only=True)\n"
        "class MyTaskConfig(AffinitiesTaskConfig):\n"
        '    """Mine."""\n'
        "    strength: float = 1.0\n"
        '    """How much."""\n'
    )
    (tmp_path / "train.py").write_text("import mine\nfrom dacapo.train import main\nmain()\n")
    (tmp_path / "conf" / "task").mkdir(parents=True)
    (tmp_path / "conf" / "task" / "my_task.yaml").write_text(
        "defaults: [MyTaskConfig, _self_]\nneighborhood: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]\n"
    )
    program = [
        sys.executable,
        "train.py",
        "--config-dir",
        "conf",
        *SMALL,
    ]
    status, _, err = run(tmp_path, program=[*program, "task=my_task", "task.strength=2"])
    assert status == 0, err
    (folder,) = (tmp_path / "runs").glob("my_task_unet_*")
    assert "strength: 2.0" in (folder / "0" / "config.yaml").read_text()


LABELS = np.arange(1, 41).reshape(40, 1, 1).repeat(40, 1).repeat(40, 2) // 8 + 1


def on_volumes(folder: Path, gt: np.ndarray = LABELS) -> list[str]:
    """Arguments for two parts of a volume in a file."""
    raw = np.random.default_rng(0).integers(0, 255, gt.shape).astype(np.uint8)
    arrays = {"raw": raw, "labels": gt.astype(np.uint32)}
    file = write_hdf5(folder / "a.h5", arrays, voxel_size=[8, 8, 8], units="nm")
    return [
        *SMALL_AFFINITIES[3:], "datasplit=volumes", f"datasplit.raw={file}:raw",
        f"datasplit.gt={file}:labels", "datasplit.train.a.region.z=[0,160]",
        "datasplit.validate.b.region={z: [200, 320]}", "name=a", "num_iterations=2",
    ]  # fmt: skip


def test_volumes(tmp_path: Path) -> None:
    status, _, err = run(tmp_path, *on_volumes(tmp_path))
    assert status == 0, err
    assert history(tmp_path / "runs").is_done


def test_what_a_worker_refuses_is_no_failure(tmp_path: Path) -> None:
    arguments = on_volumes(tmp_path, LABELS * 0)
    status, _, err = run(tmp_path, *arguments)
    assert status == 1
    assert "no voxel is annotated" in err
    assert not (tmp_path / "runs").exists()
    worker = {**environment(), "SUBMITIT_EXECUTOR": "local"}
    for _ in range(3):  # it is not taken for a run that fails again and again
        done = subprocess.run(
            command(*arguments), cwd=tmp_path, env=worker, capture_output=True, check=False
        )
        assert done.returncode == 1
    assert history(tmp_path / "runs").outcome["status"] == "refused"
    program = [sys.executable, "-m", "dacapo.compare"]
    status, out, err = run(tmp_path, program=program)
    assert status == 0, err
    assert "refused: a/0: dataset a: no voxel is annotated" in out
    assert "1 run, 0 failed, 1 refused" in out


@pytest.mark.slow
def test_a_wheel_brings_its_configs(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path)]
    status, _, err = run(tmp_path, program=[*build, str(ROOT)])
    assert status == 0, err
    (wheel,) = tmp_path.glob("dacapo-*.whl")
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    code = "import sys; sys.path.insert(0, 'site'); import dacapo.train; dacapo.train.main()"
    without = {k: v for k, v in environment().items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--cfg", "job", "experiment=flyem"],
        cwd=tmp_path, env=without, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "precision: bf16" in done.stdout
    assert (unpacked / "dacapo" / "conf" / "train.yaml").is_file()
    assert (unpacked / "hydra_plugins" / "dacapo_launcher.py").is_file()
    assert not (unpacked / "hydra_plugins" / "__init__.py").exists()  # others add to it
