"""`python -m dacapo.validate`: scores of weights that are there."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dacapo.comparison.records import read_records
from dacapo.comparison.tables import compare
from dacapo.comparison.test_scores import fixed_options
from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.datasplits import VolumeConfig, VolumesDataSplitConfig
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.tasks import PretrainedTaskConfig
from dacapo.inference.ground_truth import ground_truth
from dacapo.inference.rescoring import Rescoring, rescore
from dacapo.inference.saved import of_run
from dacapo.inference.scoring import validate
from dacapo.inference.trained import TrainedModel
from dacapo.predict import Precision
from dacapo.runs import RunFolder
from dacapo.runs.log import log_files
from dacapo.segment import SegmentConfig, segment_command
from dacapo.sweeps.plan import RunRequest, plan_run
from dacapo.sweeps.sweep import objective
from dacapo.train import train
from dacapo.validate import ValidateConfig, main, validate_command
from tests.conftest import (
    SMALL_AFFINITIES,
    composed,
    small_task_config,
    write_hdf5,
)

KEEP = (
    "trainer.checkpoint_interval=3", "num_iterations=6", "validation_interval=6",
)  # fmt: skip


def trained(runs_dir: Path, *overrides: str) -> RunFolder:
    config = small_task_config("affinities", "name=a", *KEEP, *overrides)
    train(config, runs_dir)
    return RunFolder(runs_dir / "a" / str(config.repetition))


def test_scores_are_those_that_training_would_have_noted(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    changed = ("task.post_processor.bias=[0.2,0.6]", "task.ignore_smaller=5")
    table = rescore(
        folder,
        Rescoring({"post_processor": {"bias": [0.2, 0.6]}, "ignore_smaller": 5}, device="cpu"),
    )
    assert table.iterations == [3, 6]  # both were kept, one was validated
    run = Run(small_task_config("affinities", "name=a", *KEEP, *changed))
    for number, iteration in enumerate((3, 6)):
        run.train_state.load_state(folder.read_checkpoint(iteration))
        assert np.array_equal(table.values[number], np.array(validate(run).scores), equal_nan=True)
    assert {p["bias"] for p in table.header.parameters} == {0.2, 0.6}


def test_what_is_known_of_the_volumes(tmp_path: Path) -> None:
    """One object, or none, is scored like a segmentation; some background is annotated."""
    folder = trained(tmp_path)
    header = folder.read_history().header
    assert header is not None
    config = small_task_config("affinities", "name=a", *KEEP)
    dataset = config.datasplit_config.build().validate[0]
    known = ground_truth(dataset)
    score = config.task_config.evaluator().against(known)
    one, none = score(np.ones(known.gt.shape, np.uint8)), score(np.zeros(known.gt.shape, np.uint8))
    facts = header.facts[dataset.name]
    assert facts["trivial"]["voi"] == min(one.voi, none.voi)  # type: ignore[attr-defined]
    assert facts["trivial"]["f1_50"] == 0
    assert facts["has_background"] == bool(((known.gt == 0) & (known.mask != 0)).any())


def test_what_is_scored_is_not_scored_again(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    wanted = Rescoring({"post_processor": {"bias": [0.2]}}, device="cpu")
    seen: list[int] = []
    rescore(folder, replace(wanted, iteration=6), seen.append)
    rescore(folder, wanted, seen.append)
    rescore(folder, wanted, seen.append)
    assert seen == [6, 3]


def test_the_best_parameters_segment_and_are_compared(tmp_path: Path) -> None:
    """Those that only `validate` has tried, of another post-processor."""
    folder = trained(tmp_path / "runs")
    before = of_run(folder, 6, None)
    grid = {"threshold": [0.35], "min_size": [0]}
    rescore(folder, Rescoring({"post_processor": grid}, "agglomeration", iteration=6, device="cpu"))
    model = TrainedModel(of_run(folder, None, None), "cpu")
    assert model.parameters is not None
    assert model.parameters["threshold"] == 0.35
    assert model.digest() == TrainedModel(before, "cpu").digest()
    raw = np.random.default_rng(0).integers(0, 255, (20, 20, 20), np.uint8)
    file = write_hdf5(tmp_path / "a.h5", {"raw": raw}, voxel_size=[8, 8, 8], units="nm")
    segment_command(
        SegmentConfig(
            run=["a/0"], runs_dir=str(tmp_path / "runs"), input=f"{file}:raw", device="cpu",
            output=str(tmp_path / "s.zarr"), dtype=Precision.float32,
        )
    )  # fmt: skip
    attributes = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["dacapo"]["parameters"]["threshold"] == 0.35
    for _ in range(2):  # the second one reads the cache
        (record,), _ = read_records(tmp_path / "runs")
        assert record.best is not None
        assert "threshold=0.35" in record.best.label
    assert compare(tmp_path / "runs") == []
    with xr.open_dataset(tmp_path / "runs" / "comparison.nc", engine="h5netcdf") as dataset:
        assert 0.35 in dataset["threshold"].values


def test_runs_that_are_scored_otherwise_are_compared_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        train(small_task_config("affinities", f"name={name}"), tmp_path)
    rescore(RunFolder(tmp_path / "b" / "0"), Rescoring({"ignore_smaller": 9}, device="cpu"))
    compare(tmp_path)
    out = capsys.readouterr().out.replace("\n", " ")
    assert "task.ignore_smaller is 0 for a/0, and 9 for b/0" in out
    rescore(RunFolder(tmp_path / "a" / "0"), Rescoring({"ignore_smaller": 9}, device="cpu"))
    compare(tmp_path)
    assert "task.ignore_smaller is" not in capsys.readouterr().out


def test_other_volumes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 255, (48, 48, 96), np.uint8)
    gt = (np.indices(raw.shape) // 12).sum(axis=0).astype(np.uint64) + 1
    file = write_hdf5(tmp_path / "a.h5", {"raw": raw, "gt": gt}, voxel_size=[8, 8, 8], units="nm")
    small = [o for o in SMALL_AFFINITIES if not o.startswith("datasplit.")]
    config = RunConfig.from_hydra(
        composed(
            *small, "name=a", "datasplit=regions", f"datasplit.raw={file}:raw",
            f"datasplit.gt={file}:gt", "datasplit.axis=x", "datasplit.train=0.5",
            "datasplit.validate=0.5", "datasplit.test=0", "datasplit.buffer=80",
        )
    )  # fmt: skip
    train(config, tmp_path)
    folder = RunFolder(tmp_path / "a" / "0")
    volume = VolumeConfig(raw=f"{file}:raw", gt=f"{file}:gt")
    table = rescore(folder, Rescoring(volumes={"other": volume}, device="cpu"))
    assert table.header.datasets == ["other"]
    history = folder.read_history()
    assert [s.header.datasets for s in history.others] == [["validate"]] * len(history.others)
    with pytest.raises(InputError, match="does not read volumes that are named later"):
        rescore(trained(tmp_path / "b"), Rescoring(volumes={"other": volume}))


WRONG = {
    "task.lsds=true": "task.lsds decides the weights, which are trained already",
    "task.bogus=1": "there is no key task.bogus",
    "task.post_processor.foo=1": "there is no key task.post_processor.foo",
    "task.post_processor.bias=[2]": "task.post_processor.bias",
    "task.post_processor.bias=0.3": "give a list of values to try, like [0.3]",
    "task.post_processor=agglomeration": "give post_processor=agglomeration",
    "task.loss=3": "task.loss decides the weights",
    "task.criterion=nope": "task.criterion=nope: there is no such score",
    "post_processor=mutex": "post_processor=mutex: there is none",
    "post_processor=threshold": "post_processor=threshold",
    "iteration=7": "has no such checkpoint; it has 3, 6",
    "run=b": "run=b: there is no such run",
}


def test_what_is_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tmp_path)
    before = folder.read_history().outcomes
    for argument, message in WRONG.items():
        arguments = [f"runs_dir={tmp_path}", "run=a/0", "device=cpu", argument]
        monkeypatch.setattr(sys, "argv", ["validate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert message in capsys.readouterr().err
    assert folder.read_history().outcomes == before


def test_a_run_that_trains_is_left_alone(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    with (
        folder.writing(folder.read_document()),
        pytest.raises(InputError, match="is being trained by"),
    ):
        rescore(folder, Rescoring())


def test_all_runs_but_those_that_cannot_be_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path)
    trained(tmp_path, "repetition=1")
    for path in (tmp_path / "a" / "1" / "checkpoints").iterdir():
        path.unlink()
    options = ValidateConfig(runs_dir=str(tmp_path), device="cpu", task={"ignore_smaller": 3})
    assert validate_command(options) == 1
    captured = capsys.readouterr()
    assert "a/1 is not scored: " in captured.err
    assert "has no checkpoint" in captured.err
    assert "a/0: iteration 3" in captured.out


def test_another_way_of_scoring_trains_nothing_again(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    other = small_task_config("affinities", "name=a", *KEEP, "task.ignore_smaller=4")
    plan = plan_run(folder, other, RunRequest())
    assert plan.action == "done"
    assert "scored with another task.ignore_smaller: dacapo.validate" in plan.text
    rescore(folder, Rescoring({"ignore_smaller": 4}, device="cpu"))
    assert "validate" not in plan_run(folder, other, RunRequest()).text
    stops = small_task_config(
        "affinities", "name=a", *KEEP, "task.ignore_smaller=4", "trainer.stop_patience=3"
    )
    assert stops.identity()["task"]["ignore_smaller"] == 4  # scores decide when it stops


def test_a_run_that_was_scored_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Its scores decide when it stops, and those that were added must not."""
    options = (
        "trainer.stop_patience=1", "trainer.checkpoint_interval=2", "trainer.keep_every=2",
        "validation_interval=4", "trainer.schedule_iterations=12",
    )  # fmt: skip
    for name, length in (("whole", 12), ("scored", 4)):
        config = small_task_config("affinities", "name=a", f"num_iterations={length}", *options)
        train(config, tmp_path / name)
    folder = RunFolder(tmp_path / "scored" / "a" / "0")
    rescore(folder, Rescoring(device="cpu"))
    assert folder.read_history().iterations == [2, 4]
    config = small_task_config("affinities", "name=a", "num_iterations=12", *options)
    train(config, tmp_path / "scored")
    histories = [RunFolder(tmp_path / n / "a" / "0").read_history() for n in ("whole", "scored")]
    ours, theirs = (h.as_trained() for h in histories)
    assert ours.iterations == theirs.iterations
    assert np.array_equal(ours.values(), theirs.values(), equal_nan=True)
    assert np.array_equal(ours.steps[:, 0], theirs.steps[:, 0])
    assert objective(histories[1], config) == objective(histories[0], config)


def test_a_volume_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    logs = log_files(folder.path)
    made = {"raw": np.zeros((40,) * 3, np.uint8), "gt": np.ones((40,) * 3, np.uint64)}
    file = write_hdf5(tmp_path / "a.h5", made, voxel_size=[40, 40, 40], units="nm")
    config = folder.read_document()["config"]
    config["datasplit_config"] = encode(
        VolumesDataSplitConfig(
            raw=f"{file}:raw", gt=f"{file}:gt",
            train={"t": VolumeConfig()}, validate={"t": VolumeConfig()},
        )
    )  # fmt: skip
    with folder.writing({**folder.read_document(), "config": config}) as writer:
        writer.finish("done")
    logs = log_files(folder.path)
    with pytest.raises(InputError, match=r"a factor of 5, 5, 5: give the volume resample"):
        rescore(folder, Rescoring({"ignore_smaller": 9}, device="cpu"))
    assert log_files(folder.path) == logs


def test_a_pretrained_task_keeps_its_criterion(tmp_path: Path) -> None:
    source = trained(tmp_path)
    config = small_task_config("affinities", "name=p", *KEEP)
    pretrained = PretrainedTaskConfig(
        sub_task=config.task_config, weights=str(source.checkpoint(6)),
        criterion="adapted_rand_error",
    )  # fmt: skip
    train(replace(config, task_config=pretrained), tmp_path)
    folder = RunFolder(tmp_path / "p" / "0")
    for wanted in ({"ignore_smaller": 2}, {"sub_task": {"ignore_smaller": 3}}):
        table = rescore(folder, Rescoring(wanted, device="cpu"))
        assert table.header.selected_by == "adapted_rand_error"


def test_test_volumes_are_not_opened_again_for_the_same_parameters(tmp_path: Path) -> None:
    """A grid of fewer values that holds the best ones selects the same."""
    folder = trained(tmp_path)
    before = of_run(folder, None, None)
    best = dict(p.split("=") for p in before.setting.split(","))
    grid = {"bias": [float(best["bias"])]}
    rescore(folder, Rescoring({"post_processor": grid}, device="cpu"))
    after = of_run(folder, before.iteration, None)
    assert after.setting == before.setting
    assert fixed_options(after) == fixed_options(before)


def test_a_digest_tells_what_is_annotated(tmp_path: Path) -> None:
    """The same voxels with other classes, or with another label ignored, are scored otherwise."""
    config = small_task_config("affinities", "name=a")
    dataset = config.datasplit_config.build().validate[0]
    others = [replace(dataset, classes=["p"]), replace(dataset, ignore_label=3)]
    assert len({dataset.digest(), *(other.digest() for other in others)}) == 3
