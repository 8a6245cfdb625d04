"""A plan from files: what it writes, that it trains, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.cli import compose_train
from dacapo.experiments.preflight import preflight
from dacapo.experiments.run_config import RunConfig
from dacapo.new import main
from dacapo.ops.synthetic import tissue
from tests.conftest import data_file, write_hdf5

MADE = tissue((48, 64, 72), (8, 8, 8), 12.0, 0.05, (0, 0))


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Dense cells."""
    path = tmp_path_factory.mktemp("data") / "cells.h5"
    raw = (255 * MADE.raw.clip(0, 1)).astype(np.uint8) if MADE.raw.dtype.kind == "f" else MADE.raw
    arrays = {"raw": raw, "labels": MADE.cells.astype(np.uint32)}
    return write_hdf5(path, arrays, voxel_size=(8.0, 8.0, 8.0), units="nm")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["dacapo.new", *map(str, arguments)])
    main()


def composed(folder: Path) -> RunConfig:
    return RunConfig.from_hydra(
        compose_train(["--config-dir", f"{folder}/conf", f"experiment={folder.name}"])
    )


def test_a_project_that_trains(
    cells: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    call(monkeypatch, f"project={folder}", f"raw={cells}:raw", f"labels={cells}:labels",
         "budget=20s", "device=cpu", "trainer.learning_rate=0.002")  # fmt: skip
    out = capsys.readouterr().out
    assert "objects touch: 100% of their surface faces another one" in out
    assert f"cd {folder}" in out
    run_config = composed(folder)
    assert run_config.trainer_config.learning_rate == 0.002
    assert run_config.num_iterations >= 100
    for loss in ([], ["task/loss=my_loss", "task.loss.absolute=0.3"]):
        done = subprocess.run(
            [sys.executable, "train.py", "debug=limit", "trainer.device=cpu", *loss],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    configs = {path: path.read_text() for path in folder.glob("runs/debug/*/0/config.yaml")}
    (own,) = (path.parent for path, text in configs.items() if "_type_: MyLoss" in text)
    done = subprocess.run(  # nobody imports the loss here
        [sys.executable, "-m", "dacapo.segment", f"run={own}", f"input={cells}:raw",
         "output=s.zarr", "region={z: [0, 96]}", "device=cpu"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_explaining_writes_nothing(
    cells: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "explain=true", f"raw={cells}:raw", f"labels={cells}:labels", "gpu_memory=11")
    out = capsys.readouterr().out
    assert "Planned for a GPU with 11 GiB" in out
    assert "not measured, as a GPU with 11 GiB is not here" in out
    assert list(tmp_path.iterdir()) == []


def test_half_of_the_labels_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = MADE.cells.astype(np.uint32)
    labels[:, :, 40:] = 0
    arrays = {"raw": MADE.raw, "labels": labels}
    path = write_hdf5(tmp_path / "half.h5", arrays, voxel_size=(8.0, 8.0, 8.0), units="nm")
    folder = tmp_path / "half"
    call(monkeypatch, f"project={folder}", f"raw={path}:raw", f"labels={path}:labels",
         "budget=5s", "device=cpu")  # fmt: skip
    warning = "taken for not annotated, and left out. If it is background, give keep_empty=true"
    assert warning in " ".join(capsys.readouterr().out.split())
    assert warning in " ".join((folder / "README.md").read_text().split())
    call(monkeypatch, "explain=true", f"raw={path}:raw", f"labels={path}:labels", "gpu_memory=11",
         "keep_empty=true")  # fmt: skip
    out = " ".join(capsys.readouterr().out.split())
    assert warning not in out
    assert "objects are dense, but 44% of the voxels have the label 0" in out
    run_config: Any = composed(folder)
    assert run_config.datasplit_config.gt == "labels"
    (train,) = run_config.datasplit_config.build().train
    assert (train.read_gt(train.gt.roi) != 0).all()


@pytest.mark.parametrize(
    "known",
    [
        np.s_[:, :, 36:],  # an end is left out
        np.s_[:, :, :],
        np.s_[:, ::2, :],
    ],
)
def test_what_is_annotated_decides_the_parts(
    known: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros(MADE.cells.shape, np.uint8)
    mask[known] = 1
    arrays = {"raw": MADE.raw, "labels": MADE.cells.astype(np.uint32), "mask": mask}
    path = write_hdf5(tmp_path / "m.h5", arrays, voxel_size=(8.0, 8.0, 8.0), units="nm")
    folder = tmp_path / "masked"
    call(monkeypatch, f"project={folder}", f"raw={path}:raw", f"labels={path}:labels",
         f"mask={path}:mask", "budget=5s", "device=cpu")  # fmt: skip
    run_config: Any = composed(folder)
    datasplit = run_config.datasplit_config.build()
    share = mask[:, :, 36:].mean() if known[2].start else mask.mean()
    for dataset in (*datasplit.train, *datasplit.validate):
        annotated = dataset.read_mask(dataset.gt.roi).mean()
        assert annotated == pytest.approx(share, rel=0.1)


def test_volumes_of_different_voxel_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for number, size in enumerate((100.0, 100.0, 140.0)):
        made = tissue((140, 150), (1, 1), 14.0, 0.05, (0, number))
        labels = np.where(made.cells % 3 == 0, 2, 1).astype(np.uint8)
        arrays = {"raw": made.raw, "labels": labels}
        files.append(write_hdf5(
            tmp_path / f"{number}.h5", arrays, voxel_size=(size, size), units="nm",
        ))  # fmt: skip
    folder = tmp_path / "images"
    call(monkeypatch, f"project={folder}", f"raw=[{','.join(f'{f}:raw' for f in files)}]",
         f"labels=[{','.join(f'{f}:labels' for f in files)}]", "budget=5s", "device=cpu",
         "task.classes={light: [1], dark: [2]}")  # fmt: skip
    run_config: Any = composed(folder)
    assert run_config.datasplit_config.resample == [100.0, 100.0]
    assert run_config.task_config.classes == {"light": [1], "dark": [2]}
    assert len(run_config.datasplit_config.train) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "project: give the folder to write, or explain=true"),
        (["explain=true", "budget=fast"], "budget=fast: give seconds, minutes or hours"),
        (["explain=true", "budget=0m"], "budget=0m: give seconds"),
        (["explain=true", "device=cuda:9"], "device=cuda:9: no such device here"),
        (["explain=true", "device=gpu"], "device=gpu: give cpu, cuda, cuda:1... or auto"),
        (["explain=true", "task=affinitys"], "there is no task=affinitys; did you mean affinities"),
        (["explain=true", "-m"], "--multirun: this command takes key=value alone"),
        (["explain=true", "hydra/launcher=local"], "cannot be part of a plan"),
        (["explain=true", "task.ignore_smaler=3"], "task.ignore_smaler"),
        (["explain=true", "mask=[a,b]"], "raw names 1 files and mask 2"),
        (["explain=true", "device=cpu", "trainer.batch_size=0"], "must be at least 1"),
        (["explain=true", "experiment=flyem"], "experiment=flyem: cannot be part of a plan"),
        (["explain=true", "datasplit.gt=a:b"], "datasplit.gt=a:b: give labels= instead"),
        (["explain=true", "datasplit.test=0.5", "datasplit.validate=0.5"], "nothing is left"),
        (["explain=true", "datasplit.validate=half"], "datasplit.validate=half: give a share"),
        (["explain=true", "architecture.input_shape=5"], "architecture.input_shape=5: give a list"),
        (["explain=true", "architecture.downsample_factors=[2,2]"], "factors=[2,2]: give a list"),
        (["explain=true", "architecture.downsample_factors=[[2,2]]"], "must hold 3 numbers"),
        (["explain=true", "task.neighborhood=3"], "task.neighborhood=3: give a list"),
        (["explain=true", "name=@x"], "name=@x: a name becomes a folder"),
        (["explain=true", "trainer.device=cuda:9"], "device=cuda:9: no such device here"),
    ],
)
def test_mistakes(
    cells: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, f"raw={cells}:raw", f"labels={cells}:labels", *arguments)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_the_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that train, for each kind of task; the other task of the sweep too."""
    scattered = np.where(MADE.cells % 3 == 0, MADE.cells, 0)
    classes = (MADE.cells % 3).astype(np.uint8)
    for name, labels in (("dense", MADE.cells), ("sparse", scattered), ("classes", classes)):
        arrays = {"raw": MADE.raw, "labels": labels.astype(np.uint16)}
        file = write_hdf5(tmp_path / f"{name}.h5", arrays, voxel_size=(8.0, 8.0, 8.0), units="nm")
        folder = tmp_path / name
        call(monkeypatch, f"project={folder}", f"raw={file}:raw", f"labels={file}:labels",
             "budget=5s", "device=cpu")  # fmt: skip
        readme = (folder / "README.md").read_text()
        (sweep,) = re.findall(r"python train.py -m (\S+=\S+)   # (?!your)", readme)
        key, _, values = sweep.partition("=")
        for value in values.split(","):
            run = composed_with(folder, f"{key}={value}")
            preflight(run)


def composed_with(folder: Path, override: str) -> RunConfig:
    arguments = ["--config-dir", f"{folder}/conf", f"experiment={folder.name}", override]
    return RunConfig.from_hydra(compose_train(arguments))


def test_values_as_hydra_reads_them(
    cells: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "null"
    call(monkeypatch, f"project={folder}", f"raw={cells}:raw", f"labels={cells}:labels",
         "gpu_memory=11", "name=on", "trainer.learning_rate=1e-3",
         "architecture.downsample_factors=[[2,2,2]]", "datasplit.validate=0.3")  # fmt: skip
    run_config: Any = RunConfig.from_hydra(
        compose_train(["--config-dir", f"{folder}/conf", "experiment=null_plan"])
    )
    assert run_config.name == "on"
    assert run_config.architecture_config.downsample_factors == [[2, 2, 2]]
    assert run_config.datasplit_config.validate == 0.3
    assert run_config.datasplit_config.train == pytest.approx(0.5)


def test_volumes_that_are_not_alike(
    cells: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {"raw": MADE.raw, "labels": MADE.cells.astype(np.uint16)}
    micro = write_hdf5(tmp_path / "um.h5", arrays, voxel_size=(0.008,) * 3, units="um")
    flat = write_hdf5(
        tmp_path / "2d.h5", {k: v[0] for k, v in arrays.items()}, voxel_size=(8.0, 8.0), units="nm"
    )
    for other, message in ((micro, "is measured in nm and"), (flat, "plan for one kind")):
        with pytest.raises(SystemExit):
            call(monkeypatch, "explain=true", f"raw=[{cells}:raw,{other}:raw]",
                 f"labels=[{cells}:labels,{other}:labels]")  # fmt: skip
        assert message in " ".join(capsys.readouterr().err.split())


def test_crops_fit_each_of_several_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for name, shape in (("thin", (20, 160, 160)), ("long", (100, 48, 48)), ("b/thin", (40,) * 3)):
        made = tissue(shape, (8, 8, 8), 12.0, 0.05, (0, len(files)))
        arrays = {"raw": made.raw, "labels": made.cells.astype(np.uint16)}
        (tmp_path / name).parent.mkdir(exist_ok=True)
        files.append(write_hdf5(tmp_path / f"{name}.h5", arrays, voxel_size=(8.0,) * 3, units="nm"))
    folder = tmp_path / "plan"
    call(monkeypatch, f"project={folder}", f"raw=[{','.join(f'{f}:raw' for f in files)}]",
         f"labels=[{','.join(f'{f}:labels' for f in files)}]", "gpu_memory=11")  # fmt: skip
    preflight(composed_with(folder, "name=a"))
    datasplit: Any = composed_with(folder, "name=a").datasplit_config
    assert [*datasplit.train, *datasplit.validate] == ["thin", "long", "thin_2"]


def test_a_plan_that_does_not_fit(
    cells: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "explain=true", f"raw={cells}:raw", f"labels={cells}:labels",
         "gpu_memory=0.01")  # fmt: skip
    assert "may not hold the smallest network" in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_holds_something(
    cells: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        call(monkeypatch, f"project={tmp_path}", f"raw={cells}:raw", f"labels={cells}:labels")
    assert "exists already: give a new folder" in capsys.readouterr().err


def test_labels_without_an_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {"raw": MADE.raw, "labels": np.zeros_like(MADE.cells, np.uint8)}
    path = write_hdf5(tmp_path / "empty.h5", arrays, voxel_size=(8.0, 8.0, 8.0), units="nm")
    with pytest.raises(SystemExit):
        call(monkeypatch, "explain=true", f"raw={path}:raw", f"labels={path}:labels")
    assert "no object is labelled" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flyem_fibsem_ts2_dev.h5", ["task=affinities", "[9, 0, 0]", "datasplit.axis=x"]),
        ("gonuclear_1135.h5", ["task=boundary", "[[1, 2, 2], [2, 2, 2]]", "blur"]),
        ("plantseg_ovule.h5", ["task=affinities", "[[1, 2, 2], [2, 2, 2]]", "test=0.2"]),
        ("plantcells_patch_dev.h5", ["task=affinities", "normalize=percentile"]),
        ("wsu_chloroplast_dev.h5", ["task=boundary", "norm=group", "dark_sections"]),
        ("dsb2018_nuclei2d_512.h5", ["task=boundary", "architecture=unet_2d"]),
    ],
)
def test_real_volumes(
    name: str,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = data_file(name)
    call(monkeypatch, "explain=true", f"raw={path}:raw", f"labels={path}:labels", "gpu_memory=11")
    out = capsys.readouterr().out
    assert [text for text in expected if text not in out] == []


def test_classes_that_are_named_decide_the_task(
    cells: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "explain=true", f"raw={cells}:raw", f"labels={cells}:labels", "gpu_memory=11",
         "task.classes={a: [1], b: [2]}")  # fmt: skip
    assert "classes are named" in capsys.readouterr().out


def test_a_gpu_without_memory_is_not_short_of_time(
    cells: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def out_of_memory(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("dacapo.planning.draft.step_cost", out_of_memory)
    call(monkeypatch, "explain=true", f"raw={cells}:raw", f"labels={cells}:labels", "device=cpu")
    assert "may not hold the smallest network" in " ".join(capsys.readouterr().out.split())
