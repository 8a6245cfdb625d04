"""The command line as a user types it: real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hydra.core.global_hydra import GlobalHydra

from dacapo.runs import History, RunFolder, find_run_folders, read_state
from dacapo.train import main
from tests.conftest import SMALL, SMALL_AFFINITIES, write_hdf5

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "xarray", "scipy", "zarr", "matplotlib", "pandas")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dacapo.train", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "CI": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def run(cwd: Path, *arguments: str, program: list[str] | None = None) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    done = subprocess.run(
        program or command(*arguments),
        cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def imports_nothing_heavy(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command in a process that says afterwards what it has imported."""
    code = (
        "import sys, atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('HEAVY', [m for m in heavy if m in sys.modules]))\n"
        f"sys.argv = ['dacapo-train', *{list(arguments)!r}]\n"
        "from dacapo.train import main\n"
        "main()\n"
    )
    status, out, err = run(cwd, program=[sys.executable, "-c", code])
    assert "HEAVY []" in out, (out, err)
    return status, out.replace("HEAVY []\n", ""), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.batchsize=2"], "Key 'batchsize' not in 'DefaultTrainerConfig'"),
        (["trainer.batch_size=many"], "could not be converted to Integer"),
        (["task=nope"], "Could not find 'task/nope'"),
        (["task.neighborhood=[]"], "task.neighborhood is empty: give at least one offset"),
        (["task.neighborhood=???"], "task.neighborhood: required"),
        (["start=run"], "start.run: required, give a value"),
        (["trainer.optimizer=lion"], "expected one of [adamw, radam, sgd]"),
        (["experiment=flyem"], "datasplit.train.train.raw is missing (and datasplit.raw too)"),
        (["datasplit=volumes"], "datasplit.train is empty: name at least one volume"),
        (["num_iterations"], "num_iterations"),
        (["hydra/launcher=slurm"], "launchers start the jobs of a sweep, so add -m"),
    ],
)
def test_a_mistake_is_one_message_without_torch(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, out, err = imports_nothing_heavy(tmp_path, *arguments)
    assert status == 1
    assert message in err
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert not (tmp_path / "runs" / "affinities").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--cfg", "job"], ["--help"], ["--info", "defaults-tree"], ["--cfg", "hydra"],
     ["--help", "experiment=flyem", "datasplit.raw=a", "datasplit.gt=b"]],
)  # fmt: skip
def test_config_commands(tmp_path: Path, arguments: list[str]) -> None:
    status, out, err = imports_nothing_heavy(tmp_path, *arguments)
    assert status == 0, err
    expected = {"--cfg": "overrides" if "hydra" in arguments else "neighborhood"}
    assert expected.get(arguments[0], "task") in out
    if "--help" in arguments:
        assert "Offsets in voxels, one per output channel" in out
        assert "trainer/augments=blur, contrast, cutout" in out
    assert list(tmp_path.iterdir()) == []


def test_tab_completion_of_the_console_script(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("dacapo-train")
    if not script.exists():
        pytest.skip("needs the installed console script dacapo-train")
    status, out, err = run(tmp_path, program=[str(script), "-sc", "install=bash"])
    assert status == 0, err
    assert "complete -o nospace" in out
    query = ["bash", "-c", f"COMP_POINT=99 COMP_LINE='dacapo-train task=' {script} -sc query=bash"]
    status, out, err = run(tmp_path, program=query)
    assert "task=affinities" in out, err


def history(runs_dir: Path, name: str = "a", repetition: int = 0) -> History:
    return RunFolder(runs_dir / name / str(repetition)).read_history()


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


def test_a_sweep_with_a_failure_ends_with_one_dataset(tmp_path: Path) -> None:
    status, out, err = run(
        tmp_path, "-m", *SMALL_AFFINITIES, "trainer.learning_rate=0.001,1e30", "repetition=0,1",
        "name='lr${trainer.learning_rate}'",
    )  # fmt: skip
    assert status == 1
    assert "4 runs, 2 failed" in out
    assert "non-finite loss in iteration" in err + out
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    assert sorted(dataset["status"].values) == ["done", "done", "failed", "failed"]
    assert set(dataset["trainer.learning_rate"].values) == {"0.001", "1e+30"}
    done = dataset.sel(runs=dataset.status == "done")
    assert np.isfinite(done.voi.sel(iterations=6)).all()


def test_every_failure_of_a_sweep_is_told(tmp_path: Path) -> None:
    status, out, err = run(
        tmp_path,
        "-m",
        *SMALL_AFFINITIES,
        "trainer.batch_size=0,-1,1",
        "num_iterations=1",
        "repetition=0",
    )
    assert status == 1
    assert "error: job 0: trainer.batch_size=0 must be at least 1" in err
    assert "error: job 1: trainer.batch_size=-1 must be at least 1" in err
    assert "1 runs, 0 failed" in out
    (tmp_path / "empty").mkdir()
    status, out, err = run(tmp_path / "empty", "-m", "trainer.batch_size=0", "repetition=0")
    assert status == 1
    assert "trainer.batch_size=0 must be at least 1" in err
    assert "the folder holds no runs" not in err


def test_two_commands_at_once_share_the_work(tmp_path: Path) -> None:
    """The same sweep twice, one job after the other in each: every run is trained once."""
    arguments = ("-m", *SMALL_AFFINITIES, "name=a", "repetition=range(4)", "num_iterations=12")
    other = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    status, out, err = run(tmp_path, *arguments)
    assert status == 0, out + err
    theirs, _ = other.communicate(timeout=200)
    assert other.returncode == 0, theirs
    for repetition in range(4):
        assert history(tmp_path / "runs", repetition=repetition).is_done
        assert RunFolder(tmp_path / "runs" / "a" / str(repetition)).num_writers() == 1
    passed_over = re.findall("is finished|is being trained by", out + theirs)
    assert len(passed_over) == 4  # by the command that did not train it


def test_hopeless_runs_of_a_sweep_are_stopped_and_go_on_without_halving(tmp_path: Path) -> None:
    arguments = (
        "-m", *SMALL_AFFINITIES, "num_iterations=18", "validation_interval=2",
        "repetition=0", "trainer.learning_rate=0.05,0.02,0.00001",
        "name='lr${trainer.learning_rate}'",
    )  # fmt: skip
    halving = ("halving=asha", "halving.min_iterations=12", "halving.factor=2")
    status, out, err = run(tmp_path, *arguments, *halving)
    assert status == 0, err
    states = {f.label: read_state(f).name for f in find_run_folders(tmp_path / "runs")}
    stopped = [label for label, state in states.items() if state == "stopped"]
    assert stopped, states
    assert f"halving: {len(stopped)} runs stopped" in out
    assert "is stopped: at iteration" in out
    status, out, _ = run(tmp_path, *arguments, *halving)  # they are left as they are
    assert status == 0
    assert {f.label: read_state(f).name for f in find_run_folders(tmp_path / "runs")} == states
    status, out, _ = run(tmp_path, *arguments)
    assert status == 0
    assert all(read_state(f).name == "done" for f in find_run_folders(tmp_path / "runs"))


def test_a_search_survives_runs_that_fail(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs dacapo[search]")
    status, out, err = run(
        tmp_path, "-m", "experiment=search", "hydra.sweeper.n_trials=5", *SMALL_AFFINITIES,
        "trainer.learning_rate=choice(1e30,0.001)",
    )  # fmt: skip
    assert status == 1, err  # one of both fails
    assert "2 runs, 1 failed" in out
    (found,) = tmp_path.glob("runs/.hydra/*/optimization_results.yaml")
    assert "trainer.learning_rate: 0.001" in found.read_text()


@pytest.mark.slow
def test_a_sweep_in_processes_of_joblib(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs dacapo[joblib]")
    status, out, err = run(
        tmp_path, "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *SMALL_AFFINITIES,
        "name=a", "repetition=0,1",
    )  # fmt: skip
    assert status == 0, out + err
    assert "2 runs, 0 failed" in out


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


def test_tasks_beside_each_other(tmp_path: Path) -> None:
    """Different parameters and criteria join by name in one Dataset."""
    status, _, err = run(
        tmp_path, "-m", "task=affinities,distance,boundary,inner_distance", *SMALL,
        "repetition=0", "num_iterations=2", "validation_interval=2",
    )  # fmt: skip
    assert status == 0, err
    semantic = ["task=one_hot", "task.classes={membrane: [1], body: [2]}"]
    status, _, err = run(tmp_path, *SMALL, *semantic, "datasplit=synthetic_classes")
    assert status == 0, err
    compared = [sys.executable, "-m", "dacapo.compare", "runs_dir=runs"]
    status, _, err = run(tmp_path, program=compared)
    assert status == 0, err
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    assert set(dataset.task.values) == {
        "affinities", "distance", "boundary", "inner_distance", "one_hot"
    }  # fmt: skip
    objects = dataset.sel(runs=dataset.task != "one_hot")
    assert objects.f1_50.max(["iterations", "datasets", "parameters"]).notnull().all()
    classes = dataset.sel(runs=dataset.task == "one_hot")
    assert classes.body__dice.notnull().any()
    assert classes.f1_50.isnull().all()
    assert dataset.f1_50.attrs["higher_is_better"] == 1
    assert dataset.hausdorff_95.attrs["units"] == "nm or pixel"
    assert "bias" in dataset.coords
    assert "seed_threshold" in dataset.coords


def test_the_literal_command_trains_three_repetitions(tmp_path: Path) -> None:
    status, out, err = run(
        tmp_path,
        "task=affinities",
        "architecture=unet",
        "-m",
        *SMALL_AFFINITIES,
        "num_iterations=2",
    )
    assert status == 0, err
    assert "3 runs, 0 failed" in out
    dataset = xr.load_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf")
    assert dataset["repetition"].values.tolist() == [0, 1, 2]
    assert len(set(dataset["name"].values)) == 1
    # Hydra's own files lie apart from those of the runs.
    assert {p.name for p in (tmp_path / "runs").iterdir() if p.is_dir()} == {
        ".hydra", str(dataset["name"].values[0])
    }  # fmt: skip


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
            ({}, ["datasplit.voxel_size=[8,8]"], "does not fit|differ|no whole|axes"),
            ({}, ["runs_dir=a.h5"], "runs_dir"),
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
class TestKilled:
    """SIGKILL at random times; in the end everything is equal to the bit."""

    KILLS = 50 if os.environ.get("DACAPO_LONG_TESTS") else 5
    NUM_ITERATIONS = 1000 if KILLS > 5 else 90
    RUN = (
        *SMALL_AFFINITIES, "name=a", f"num_iterations={NUM_ITERATIONS}", "validation_interval=25",
        "trainer.checkpoint_interval=9", "trainer.num_workers=2", "trainer.batch_size=2",
        "task.lsds=true", "task.lsd_sigma=1.0", "trainer.micro_batches=2",
        "trainer.ema_decay=0.99", "trainer.precision=bf16", "trainer.schedule=plateau",
        "trainer.plateau_patience=0", "architecture.norm=batch",
    )  # fmt: skip

    def wait_for_step(self, process: subprocess.Popen[bytes], runs_dir: Path, step: int) -> bool:
        """False when the process ended before."""
        while process.poll() is None:
            folder = RunFolder(runs_dir / "a" / "0")
            if folder.path.exists() and folder.read_history().training_stats.trained_until() > step:
                return True
            time.sleep(0.005)
        return False

    def test_resume_equals_uninterrupted(self, tmp_path: Path) -> None:
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        status, _, err = run(tmp_path, *self.RUN, f"runs_dir={whole}")
        assert status == 0, err
        rng = np.random.default_rng()
        kills = []
        while True:
            process = subprocess.Popen(
                command(*self.RUN, f"runs_dir={killed}"), cwd=tmp_path, env=environment(),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            furthest = 2 * self.NUM_ITERATIONS // (self.KILLS + 1)
            target = int(rng.integers(0, furthest)) + (kills[-1] if kills else 0)
            if len(kills) < self.KILLS and self.wait_for_step(process, killed, target):
                time.sleep(float(rng.uniform(0, 0.03)))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills.append(history(killed).training_stats.trained_until())
                continue
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
            break
        print(f"killed at {kills}")
        assert len(kills) >= self.KILLS * 3 // 5
        one, two = history(whole), history(killed)
        assert [s.loss for s in one.training_stats.iteration_stats] == [
            s.loss for s in two.training_stats.iteration_stats
        ]
        assert one.scores == two.scores
        ours, theirs = (
            RunFolder(d / "a" / "0").read_checkpoint(self.NUM_ITERATIONS) for d in (whole, killed)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)

    def test_two_processes_on_one_run(self, tmp_path: Path) -> None:
        runs_dir = tmp_path / "runs"
        first = subprocess.Popen(
            command(*self.RUN, f"runs_dir={runs_dir}"), cwd=tmp_path, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert self.wait_for_step(first, runs_dir, 2)
            status, _, err = run(tmp_path, *self.RUN, f"runs_dir={runs_dir}")
            assert status == 1
            assert f"is being trained by process {first.pid} on " in err
        finally:
            first.kill()
            first.wait()


@pytest.mark.slow
def test_a_sweep_in_processes_of_submitit(tmp_path: Path) -> None:
    """The jobs are pickled, run elsewhere, and their scores come together all the same."""
    status, out, err = run(
        tmp_path, "-m", "hydra/launcher=submitit_local", *SMALL_AFFINITIES, "name=a",
        "repetition=0,1", "hydra.launcher.timeout_min=5",
    )  # fmt: skip
    assert status == 0, out + err
    assert "2 runs, 0 failed" in out
    assert all(history(tmp_path / "runs", repetition=r).is_done for r in (0, 1))


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
