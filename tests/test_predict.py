"""`python -m dacapo.predict`: from the folder of a run alone, block by block."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.arrays import Array, open_array
from dacapo.arrays.kept import KeptBlocks, kept_output
from dacapo.arrays.write import write_array
from dacapo.errors import InputError
from dacapo.experiments.datasplits import RegionConfig
from dacapo.experiments.run import Run
from dacapo.inference.blocks import predict
from dacapo.inference.volumes import find_run
from dacapo.predict import PredictConfig, main, predict_command
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import small_run_config, small_task_config, write_hdf5


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that have trained for some steps; their data are not files."""
    path = tmp_path_factory.mktemp("runs")
    for repetition in range(2):
        train(small_run_config("name=a", f"repetition={repetition}"), path)
    return path


@pytest.fixture(scope="module")
def run(runs_dir: Path) -> Run:
    """The first of them, in memory."""
    folder = RunFolder(runs_dir / "a" / "0")
    made = Run(small_run_config("name=a"))
    best = folder.read_history().best()
    assert best is not None
    made.train_state.load_state(folder.read_checkpoint(best.iteration))
    return made


@pytest.fixture
def options(run: Run, runs_dir: Path, tmp_path: Path) -> PredictConfig:
    """To predict the validation volume of the run from a file."""
    raw = run.datasplit.validate[0].raw
    voxels = raw.read(raw.roi)
    file = write_hdf5(
        tmp_path / "a.h5", {"raw": voxels}, voxel_size=[8, 8, 8], units="nm", offset=[16, 0, 800]
    )
    return PredictConfig(
        run=["a/0"], runs_dir=str(runs_dir), input=f"{file}:raw", chunk=16,
        output=str(tmp_path / "p.ome.zarr"), device="cpu",
    )  # fmt: skip


def whole(options: PredictConfig) -> np.ndarray[Any, Any]:
    array: Array = open_array(options.output)
    return array.read(array.roi)


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_volume_is_predicted_as_in_validation(
    options: PredictConfig, run: Run, dtype: str, version: str
) -> None:
    kind = type(options.dtype)(dtype)
    predict_command(replace(options, dtype=kind, version=version))
    expected = predict(run, run.datasplit.validate[0])
    found = whole(options) / (255 if dtype == "uint8" else 1)
    limit = {"float16": 1e-3, "float32": 1e-5, "uint8": 0.5 / 255 + 1e-5}[dtype]
    assert np.abs(found - expected).max() < limit
    array = open_array(options.output)
    assert array.dtype == dtype
    assert array.voxel_size == (8000, 8000, 8000)
    assert array.offset == (16000, 0, 800000)


def test_a_region_equals_that_part_of_the_whole(options: PredictConfig, run: Run) -> None:
    predict_command(replace(options, region=RegionConfig(z=[16 + 40, 16 + 136], x=[840, 904])))
    expected = predict(run, run.datasplit.validate[0])[:, 5:17, :, 5:13]
    assert np.abs(whole(options) - expected).max() < 1e-3
    assert open_array(options.output).offset == (56000, 0, 840000)


def test_what_was_interrupted_is_continued(
    options: PredictConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = replace(options, block=16)
    predict_command(options)
    expected = whole(options)
    output = Path(options.output)
    again = replace(options, output=str(output.with_name("k.ome.zarr")))
    add, made = KeptBlocks.add, []

    def die_after_a_while(self: KeptBlocks, name: str, start: tuple[int, ...]) -> None:
        add(self, name, start)
        made.append(start)
        if len(made) % 3 == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeptBlocks, "add", die_after_a_while)
        with pytest.raises(KeyboardInterrupt):
            predict_command(again)
        (unfinished,) = output.parent.glob(".k.ome.zarr.*.unfinished")
        assert len((unfinished / ".work" / "blocks.main.txt").read_text().split("\n")) == 1 + 3
        with (unfinished / ".work" / "blocks.main.txt").open("a") as file:
            file.write("\nlevel 0:0,1")  # torn by a kill
        with pytest.raises(KeyboardInterrupt):
            predict_command(again)
    with pytest.raises(InputError, match=r"was begun with other input, weights or options"):
        predict_command(replace(again, padding=type(again.padding)("zero")))
    predict_command(again)
    num = 2 * 2 * 2 + 1  # those of the finest level and of the next
    assert len(set(made[:6])) == 6
    assert len(made) < num
    assert (whole(again) == expected).all()
    assert not unfinished.exists()
    assert sorted(p.name for p in output.with_name("k.ome.zarr").iterdir()) == [
        "0", "1", "zarr.json"
    ]  # fmt: skip
    capsys.readouterr()
    predict_command(again)
    assert "k.ome.zarr is finished" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"exists already"):
        predict_command(replace(again, iteration=[6]))
    predict_command(replace(again, overwrite=True))
    assert (whole(again) == expected).all()


def test_what_outlives_a_killed_process_cannot_write_into_another_output(
    options: PredictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def die(self: KeptBlocks, name: str, start: tuple[int, ...]) -> None:
        folders.append(self.folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeptBlocks, "add", die)
        for changed in ({}, {"intensity_range": [10.0, 20.0], "overwrite": True}):
            with pytest.raises(KeyboardInterrupt):
                predict_command(replace(options, **changed))  # type: ignore[arg-type]
    assert folders[0] != folders[1]
    assert [path.exists() for path in folders] == [False, True]


def test_a_process_that_was_killed_while_it_made_an_array(
    options: PredictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: Path, *more: Any, **options: Any) -> Any:
        path.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dacapo.inference.jobs.create_array", die)
        with pytest.raises(KeyboardInterrupt):
            predict_command(options)
    predict_command(options)
    assert np.ptp(whole(options)) > 0


def test_the_same_files_by_other_paths(
    options: PredictConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_command(options)
    output = Path(options.output)
    monkeypatch.chdir(output.parent)
    (output.parent / "below").mkdir()
    options = replace(options, output=f"below/../{output.name}", input="below/../a.h5:raw")
    predict_command(options)
    assert "is finished" in capsys.readouterr().out


def as_zarr(options: PredictConfig) -> PredictConfig:
    """The same options for a zarr, which can be changed in place."""
    path = str(Path(options.output).with_name("raw.zarr"))
    write_array(path, open_array(options.input))
    return replace(options, input=path)


def test_an_input_that_changed_is_another(options: PredictConfig) -> None:
    import zarr

    options = as_zarr(options)
    predict_command(options)
    array: Any = zarr.open_array(options.input, mode="r+")
    array[:4] = 255 - array[:4]
    with pytest.raises(InputError, match=r"p.ome.zarr exists already"):
        predict_command(options)


def test_nothing_is_removed_before_the_new_output_is_complete(
    options: PredictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = as_zarr(options)
    with pytest.raises(InputError, match=r"the input, .*raw.zarr, lies there"):
        predict_command(replace(options, output=options.input, overwrite=True))
    other = Path(options.input).with_name("other.zarr")
    write_array(str(other), open_array(options.input))
    with pytest.raises(InputError, match=r"was not written by this command"):
        predict_command(replace(options, output=str(other), overwrite=True))
    predict_command(options)
    before = whole(options)

    def fail(self: KeptBlocks, name: str, start: tuple[int, ...]) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(KeptBlocks, "add", fail)
        with pytest.raises(OSError, match="gone"):
            predict_command(replace(options, overwrite=True, iteration=[4]))
    assert np.array_equal(whole(options), before)
    assert not list(Path(options.output).parent.glob(".*.lock"))


def test_one_process_at_a_time(options: PredictConfig) -> None:
    with (
        kept_output(Path(options.output), "key"),
        pytest.raises(InputError, match=r"another process is writing it"),
    ):
        predict_command(options)


def test_a_region_between_the_voxels_of_the_model(options: PredictConfig) -> None:
    options = replace(options, voxel_size=[4, 8, 8], resample=True)
    with pytest.raises(InputError, match=r"region"):
        predict_command(replace(options, region=RegionConfig(z=[20, 100])))
    predict_command(replace(options, region=RegionConfig(z=[24, 104])))
    assert open_array(options.output).offset[0] == 24000


def test_an_odd_number_of_voxels_is_resampled(options: PredictConfig, tmp_path: Path) -> None:
    raw = open_array(options.input)
    voxels = raw.read(raw.roi)[:23]
    file = write_hdf5(tmp_path / "odd.h5", {"raw": voxels}, voxel_size=[4, 8, 8], units="nm")
    predict_command(replace(options, input=f"{file}:raw", resample=True))
    assert whole(options).shape == (6, 11, 32, 32)


def test_the_best_by_another_criterion(options: PredictConfig, runs_dir: Path) -> None:
    for criterion in ("voi_merge", "voi_split"):
        best = {
            label: RunFolder(runs_dir / label).read_history().best(criterion)
            for label in ("a/0", "a/1")
        }
        folder = find_run("best", runs_dir, criterion)
        assert folder.label == min(best, key=lambda label: best[label].value)  # type: ignore[union-attr]


def test_the_best_run_and_what_made_the_output(options: PredictConfig, runs_dir: Path) -> None:
    import zarr

    predict_command(replace(options, run=["best"]))
    made_by: Any = zarr.open_group(options.output, mode="r").attrs["dacapo"]
    scores = {}
    for repetition in range(2):
        best = RunFolder(runs_dir / "a" / str(repetition)).read_history().best()
        assert best is not None
        scores[f"a/{repetition}"] = best.value
    assert made_by["models"][0]["run"] == min(scores, key=lambda label: scores[label])
    assert made_by["channels"][0] == "affinity 1,0,0"
    assert made_by["models"][0]["intensity_range"] == [0.0, 255.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"run": ["b/0"]}, r"run=b/0: there is no such run .* did you mean a/0\?"),
        ({"iteration": [7]}, r"iteration=7: .* has no such checkpoint; it has .*4, 6"),
        ({"criterion": "vio"}, r"criterion=vio: choose from voi"),
        ({"voxel_size": [16, 8, 8]}, r"a factor of 2, 1, 1: resample=true"),
        ({"voxel_size": [1, 1, 1], "unit": "pixel"}, r"is measured in pixel, and the model was"),
        ({"axes": "czy", "voxel_size": [8, 8]}, r"has 2 axes, and the model 3"),
        ({"input": "none.h5:raw"}, r"input=none.h5:raw: no file none.h5"),
        ({"output": "s3://bucket/a.zarr"}, r"output=s3://bucket/a.zarr: an output is a path"),
        ({"output": "a.tif"}, r"output=a.tif: the name must end in .zarr"),
        ({"version": "0.3"}, r"version=0.3: choose 0.4 or 0.5"),
    ],
)
def test_mistakes(options: PredictConfig, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict_command(replace(options, **changed))
    assert not Path(options.output).exists()


def test_the_command(
    options: PredictConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = "run", "runs_dir", "input", "output"
    arguments = [f"{key}={getattr(options, key)}" for key in keys]
    monkeypatch.setattr(sys, "argv", ["predict", *arguments, "region={z: [16, 80]}"])
    main()
    out = capsys.readouterr().out
    assert "a/0, iteration" in out
    assert "Mvoxel/s" in out
    assert whole(options).shape == (6, 8, 32, 32)


def flipped_input(options: PredictConfig, axes: tuple[int, ...]) -> PredictConfig:
    raw = open_array(options.input)
    file = write_hdf5(
        Path(options.output).with_name("flipped.h5"),
        {"raw": np.flip(raw.read(raw.roi), axes)}, voxel_size=[8, 8, 8], units="nm",
    )  # fmt: skip
    output = str(Path(options.output).with_name("flipped.ome.zarr"))
    return replace(options, input=f"{file}:raw", output=output)


def mirrored_back(
    run: Run, prediction: np.ndarray[Any, Any], axes: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """The channels of a mirrored prediction where they belong; NaN where one was not predicted."""
    spatial = tuple(1 + axis for axis in axes)
    found = np.flip(prediction, spatial)
    out = np.full(found.shape, np.nan)
    for number, channel in enumerate(run.task.predictor.mirrored(axes)):
        if channel is None:
            continue
        shift = channel.shift or (0, 0, 0)
        for voxel in np.ndindex(*found.shape[1:]):
            at = [v + s for v, s in zip(voxel, shift, strict=True)]
            if all(0 <= a < n for a, n in zip(at, found.shape[1:], strict=True)):
                out[(number, *voxel)] = found[(channel.channel, *at)]
    return out


def test_mirror_images_are_averaged(
    options: PredictConfig, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    single = type(options.dtype)("float32")
    options = replace(options, dtype=single, block=16)
    parts = []
    for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        one = flipped_input(options, axes)
        predict_command(replace(one, overwrite=True))
        parts.append(mirrored_back(run, whole(one), axes))
    predict_command(replace(options, mirror=True, check_seams=True))
    assert np.abs(whole(options) - np.nanmean(parts, axis=0)).max() < 1e-5
    assert np.abs(whole(options) - parts[0]).max() > 1e-2

    other = flipped_input(replace(options, mirror=True), (0, 2))
    predict_command(replace(other, overwrite=True))
    turned = mirrored_back(run, whole(other), (0, 2))
    assert np.nanmax(np.abs(turned - whole(options))) < 1e-5
    assert np.isfinite(turned).mean() > 0.5


def test_the_mirrored_prediction_of_a_region(options: PredictConfig) -> None:
    options = replace(options, dtype=type(options.dtype)("float32"), mirror=True)
    predict_command(options)
    expected = whole(options)[:, 5:17, :, 5:13]
    part = RegionConfig(z=[16 + 40, 16 + 136], x=[840, 904])
    predict_command(replace(options, region=part, overwrite=True))
    assert np.abs(whole(options) - expected).max() < 1e-5


def test_checkpoints_of_a_run_are_averaged(options: PredictConfig) -> None:
    options = replace(options, dtype=type(options.dtype)("float32"), overwrite=True)
    each = []
    for iteration in (4, 6):
        predict_command(replace(options, iteration=[iteration]))
        each.append(whole(options))
    assert np.abs(each[0] - each[1]).max() > 1e-2
    predict_command(replace(options, iteration=[4, 6]))
    assert np.abs(whole(options) - np.mean(each, axis=0)).max() < 1e-6
    with pytest.raises(InputError, match=r"named twice: a/0, iteration 4; a/0, iteration 4"):
        predict_command(replace(options, iteration=[4, 4]))


def test_runs_are_averaged(options: PredictConfig, runs_dir: Path) -> None:
    options = replace(options, dtype=type(options.dtype)("float32"))
    each = []
    for run in ("a/0", "a/1"):
        predict_command(replace(options, run=[run], overwrite=True))
        each.append(whole(options))
    assert np.abs(each[0] - each[1]).max() > 1e-2
    predict_command(replace(options, run=["a/0", "a/1"], overwrite=True))
    assert np.abs(whole(options) - np.mean(each, axis=0)).max() < 1e-6
    with pytest.raises(
        InputError, match=r"run: a model is named twice: a/0, iteration (\d); a/0, iteration \1"
    ):
        predict_command(replace(options, run=["a/0", "a/0"]))
    with pytest.raises(InputError, match=r"run=\[\]: name a run"):
        predict_command(replace(options, run=[]))
    train(small_task_config("distance", "name=other"), runs_dir)
    with pytest.raises(InputError, match=r"a/0 and other/0 do not predict .* list of channels is"):
        predict_command(replace(options, run=["a/0", "other/0"]))
    train(small_task_config("distance", "name=wide", "task.scale=5"), runs_dir)
    with pytest.raises(InputError, match=r"do not predict the same, .*: task.scale is 3.* and 5"):
        predict_command(replace(options, run=["other/0", "wide/0"]))
    train(small_task_config("inner_distance", "name=inner"), runs_dir)
    with pytest.raises(InputError, match=r"do not predict the same, .*: the task is Distance"):
        predict_command(replace(options, run=["other/0", "inner/0"]))
