"""`python -m dacapo.train`, one run."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from dacapo.runs import RunFolder
from dacapo.train import main
from tests.command_line import ROOT, environment, history, run
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


class TestData:
    """Each mistake with the data is one clear error before training."""

    LABELS = np.arange(1, 41).reshape(40, 1, 1).repeat(40, 1).repeat(40, 2) // 8 + 1

    def write(self, path: Path, **changed: object) -> str:
        raw = np.random.default_rng(0).integers(0, 255, (40, 40, 40)).astype(np.uint8)
        arrays = {"raw": raw, "labels": self.LABELS.astype(np.uint32), **changed}
        arrays = {k: v for k, v in arrays.items() if v is not None}
        return write_hdf5(path, arrays, voxel_size=[8, 8, 8], units="nm")

    def asked(self, file: str, *more: str) -> list[str]:
        data = [
            "datasplit=volumes", f"datasplit.raw={file}:raw", f"datasplit.gt={file}:labels",
            "datasplit.train={a: {region: {z: [0, 160]}}}",
            "datasplit.validate={b: {region: {z: [200, 320]}}}",
        ]  # fmt: skip
        return [*SMALL_AFFINITIES[3:], *data, "name=a", "num_iterations=2", *more]

    @pytest.fixture
    def refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., str]:
        """What is said of a mistake; without the seconds that a process of its own takes."""

        def refuse(file: str, *more: str) -> str:
            monkeypatch.chdir(tmp_path)
            monkeypatch.setattr(sys, "argv", ["train", *self.asked(file, *more)])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 1
            return capsys.readouterr().err

        yield refuse
        GlobalHydra.instance().clear()

    def test_volumes_work(self, tmp_path: Path) -> None:
        status, _, err = run(tmp_path, *self.asked(self.write(tmp_path / "a.h5")))
        assert status == 0, err
        assert history(tmp_path / "runs").is_done

    @pytest.mark.parametrize(
        ("changed", "more", "message"),
        [
            ({"labels": None}, [], "train.a.gt=.*: no dataset 'labels'; the file has raw"),
            ({}, ["datasplit.raw=none.h5:raw"], "datasplit.train.a.raw=none.h5:raw: no file"),
            ({"labels": LABELS / 2}, [], "labels must be integers, not float64"),
            ({"raw": np.full((40, 40, 40), np.nan, np.float32)}, [], "are NaN or infinite"),
            ({"mask": np.zeros((40, 40, 40), np.uint8)}, ["datasplit.mask={file}:mask"],
             "dataset a: no voxel is annotated"),
            ({}, ["datasplit.unit=furlong"], "unknown unit 'furlong'"),
            ({}, ["datasplit.train.a.region.z=[0,163]"], "begin and end on voxel borders"),
            ({}, ["datasplit.train.a.region.z=[0,900]"], "inside the volume, 0.0 to 320.0 nm"),
            ({}, ["architecture.input_shape=[44,44,44]"], "fewer than the network's input"),
            ({}, ["architecture.input_shape=[29,28,28]"], "the nearest that fits is"),
            ({}, ["datasplit.voxel_size=[8,8]"],
             r"a voxel size of 2 axes, \[8.0, 8.0\], does not fit the axes"),
            ({}, ["runs_dir=a.h5"], "runs_dir: cannot write a.h5.*: (Not a|File)"),
            ({"labels": np.zeros((40, 40, 40), np.uint8)}, [], "dataset a: no voxel is annotated"),
            ({}, ["datasplit.validate.b.region.z=[96,264]"], "datasplit.validate.b share labels"),
            ({}, ["datasplit.voxel_size=[nan,8,8]"], "is not finite"),
        ],
    )  # fmt: skip
    def test_mistakes(
        self, tmp_path: Path, refused: Callable[..., str],
        changed: dict[str, object], more: list[str], message: str,
    ) -> None:  # fmt: skip
        file = self.write(tmp_path / "a.h5", **changed)
        err = refused(file, *[m.replace("{file}", file) for m in more])
        assert re.search(message, err), err
        assert len(err.strip().splitlines()) == 1, err
        assert err.startswith("error: ")

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ({"voxel_size": [8, 8, 12]}, "along each axis one must divide the other"),
            ({"offset": [4000, 0, 0]}, "do not overlap"),
            ({"offset": [4, 0, 0]}, "shifted against .* by 0.5 voxels of raw along z"),
            ({"offset": [160, 0, 0]}, "reaches beyond"),
        ],
    )
    def test_raw_and_labels_that_do_not_fit(
        self, tmp_path: Path, refused: Callable[..., str],
        attributes: dict[str, list[int]], message: str,
    ) -> None:  # fmt: skip
        raw = self.write(tmp_path / "a.h5")
        meta = {"voxel_size": [8, 8, 8], "offset": [0, 0, 0], "units": "nm", **attributes}
        gt = write_hdf5(tmp_path / "b.h5", {"labels": self.LABELS.astype(np.uint32)}, **meta)
        err = refused(
            raw, f"datasplit.gt={gt}:labels",
            "datasplit.train.a.region=null", "datasplit.validate.b.region=null",
        )  # fmt: skip
        assert re.search(message, err), err


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
