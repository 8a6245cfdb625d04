from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dacapo.arrays import Array
from dacapo.errors import InputError
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.inference.scoring import check_scorable, ground_truth, validate
from tests.conftest import (
    SMALL,
    SMALL_AFFINITIES,
    TASKS,
    composed,
    small_run_config,
    small_task_config,
    write_hdf5,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "loss.json"


def losses(run: Run) -> list[float]:
    return [run.train_step(batch).loss for batch in run.batches(0)]


def voi(run: Run) -> list[float]:
    """Of each setting, in the one validation dataset."""
    values = np.array(validate(run).scores)
    assert np.isfinite(values).all()
    return list(values[0, :, run.validation_scores.criteria.index("voi")])


def test_golden_loss_curve() -> None:
    """A refactoring must reproduce these 20 steps; a change of method replaces the file."""
    curve = losses(Run(small_run_config("num_iterations=20")))
    assert curve == pytest.approx(json.loads(GOLDEN.read_text()), rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_equal_runs_are_equal_to_the_bit(precision: str) -> None:
    one, two = (Run(small_run_config(f"trainer.precision={precision}")) for _ in range(2))
    assert losses(one) == losses(two)
    states = one.train_state.state(), two.train_state.state()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_repetitions_differ_in_weights_and_two_configs_share_them() -> None:
    a, b = Run(small_run_config()), Run(small_run_config("repetition=1"))
    lsds = Run(small_run_config("task.lsds=true", "task.lsd_sigma=1.0"))
    key = "model.architecture.unet.down.0.0.weight"
    assert not torch.equal(a.train_state.state()[key], b.train_state.state()[key])
    assert torch.equal(a.train_state.state()[key], lsds.train_state.state()[key])


def test_building_a_run_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Run(small_run_config())
    assert torch.equal(torch.get_rng_state(), before)


def test_state_round_trip() -> None:
    one, two = Run(small_run_config()), Run(small_run_config("repetition=1"))
    losses(one)
    two.train_state.load_state(one.train_state.state())
    assert all(
        torch.equal(one.train_state.state()[k], two.train_state.state()[k])
        for k in one.train_state.state()
    )
    assert any(
        k.startswith("optimizer.") and k.endswith("exp_avg_sq") for k in two.train_state.state()
    )


def test_a_loss_that_is_not_finite_stops_before_the_weights_change() -> None:
    run = Run(small_run_config())
    good = next(run.batches(0))
    bad = dataclasses.replace(good, raw=good.raw * float("nan"))
    before = {k: v.clone() for k, v in run.train_state.state().items()}
    with pytest.raises(InputError, match=r"loss in iteration 0: nan; its batch: synthetic_train"):
        run.train_step(bad)
    assert all(torch.equal(before[k], v) for k, v in run.train_state.state().items())


def test_a_gradient_that_is_not_finite_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(small_run_config())
    batch = next(run.batches(0))
    for parameter in run.model.parameters():
        parameter.register_hook(lambda gradient: gradient * float("inf"))
    before = {k: v.clone() for k, v in run.train_state.state().items()}
    with pytest.raises(InputError, match="non-finite gradient in iteration 0: "):
        run.train_step(batch)
    assert all(torch.equal(before[k], v) for k, v in run.train_state.state().items())


def test_workers_leave_the_network_its_threads() -> None:
    """In a process of its own: here the number is set already."""
    code = (
        "from tests.conftest import small_run_config\n"
        "from dacapo.experiments.run import Run\n"
        "import torch\n"
        "run = Run(small_run_config('trainer.num_threads=2'))\n"
        "next(run.batches(0)); print(torch.get_num_threads())\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "2\n"


def test_low_precision_makes_no_ties_of_strong_predictions() -> None:
    run = Run(small_run_config("trainer.precision=bf16", "architecture.norm=none"))
    with torch.no_grad():
        run.model.prediction_head.bias.fill_(6.0)
    run.model.eval()
    values = run.train_state.forward(next(run.batches(0)).raw)
    assert len(values[values > 0.99].unique()) > 20


def test_a_level_of_one_voxel_cannot_be_normalised() -> None:
    small = (
        "architecture.input_shape=[16,16,16]", "architecture.eval_shape_increase=null",
        "architecture.padding=same", "architecture.downsample_factors=[[4,4,4],[4,4,4]]",
    )  # fmt: skip
    for batch in (("trainer.batch_size=1",), ("trainer.batch_size=2", "trainer.micro_batches=2")):
        with pytest.raises(InputError, match=r"architecture.norm: of a crop of \[16, 16, 16\]"):
            Run(small_run_config(*small, *batch))
    run = Run(small_run_config(*small, "trainer.batch_size=2"))
    assert np.isfinite(run.train_step(next(run.batches(0))).loss)


def test_weights_of_one_name_and_shape_are_shared_whatever_else_differs() -> None:
    one, two = Run(small_run_config()), Run(small_run_config("task.neighborhood=[[1,0,0]]"))
    wide = small_run_config("architecture.kernel_size_down=[[[1,1,1],[3,3,3]],[[3,3,3],[3,3,3]]]")
    other = Run(dataclasses.replace(wide, name=""))
    key = "model.architecture.unet.up.0.3.weight"
    assert torch.equal(one.train_state.state()[key], two.train_state.state()[key])
    assert torch.equal(one.train_state.state()[key], other.train_state.state()[key])
    first = "model.architecture.unet.down.0.0.weight"
    assert one.train_state.state()[first].shape != other.train_state.state()[first].shape


def test_train_step_puts_the_model_into_train_mode() -> None:
    """A validation in between must not leave the sigmoid in training."""
    run = Run(small_run_config())
    batch = next(run.batches(0))
    run.model.eval()
    run.train_step(batch)
    assert run.model.training
    assert run.train_state.forward(batch.raw).min() < 0  # logits


class TestMask:
    """Labels that are not annotated, whatever they are, change nothing."""

    @staticmethod
    def run_with(scrambled: bool, task: str) -> Run:
        run = Run(small_task_config(task, "num_iterations=3"))
        rng = np.random.default_rng(0)

        def masked(dataset):  # type: ignore[no-untyped-def]
            gt = np.asarray(dataset.gt.source)
            mask = np.ones(gt.shape, np.uint8)
            mask[:, : gt.shape[1] // 2] = rng.random(mask[:, : gt.shape[1] // 2].shape) < 0.5
            noise = np.random.default_rng(1).choice([0, 1, 2, 7, 2**40], gt.shape)
            noise = noise.astype(np.uint64)
            labels = np.where(mask != 0, gt.astype(np.uint64), noise if scrambled else 0)
            array = dataclasses.replace(dataset.gt, source=labels)
            known = Array(mask, array.voxel_size, array.offset, "nm", name="mask")
            return dataclasses.replace(dataset, gt=array, mask=known)

        run.datasplit = DataSplit(
            [masked(d) for d in run.datasplit.train], [masked(d) for d in run.datasplit.validate]
        )
        return run

    @pytest.mark.parametrize("task", TASKS)
    def test_loss_gradient_and_score(self, task: str) -> None:
        plain, scrambled = (self.run_with(noise, task) for noise in (False, True))
        for ours, theirs in zip(plain.batches(0), scrambled.batches(0), strict=True):
            assert torch.equal(ours.weight, theirs.weight)
            known = ours.weight > 0
            assert torch.equal(ours.target[known], theirs.target[known])
            assert plain.train_step(ours).loss == scrambled.train_step(theirs).loss
        assert all(
            torch.equal(plain.train_state.state()[k], v)
            for k, v in scrambled.train_state.state().items()
        )
        ours, theirs = (np.array(validate(run).scores) for run in (plain, scrambled))
        assert np.array_equal(ours, theirs, equal_nan=True)
        at = plain.validation_scores.criteria.index(plain.task.criterion)
        assert np.isfinite(ours[..., at]).any()


def test_validation_is_due_at_each_interval_and_at_the_end() -> None:
    run = Run(small_run_config("num_iterations=10", "validation_interval=4"))
    assert [i for i in range(11) if run.validation_due(i)] == [4, 8, 10]
    short = Run(small_run_config("num_iterations=3", "validation_interval=1000"))
    assert [i for i in range(4) if short.validation_due(i)] == [3]


def test_a_2d_run() -> None:
    run = Run(
        small_run_config(
            "task.neighborhood=[[1,0],[0,1],[5,0],[0,5]]", "task.lsds=true", "task.lsd_sigma=2.0",
            "architecture.input_shape=[44,44]", "architecture.eval_shape_increase=[16,16]",
            "architecture.downsample_factors=[[2,2]]", "datasplit.train_shape=[96,96]",
            "datasplit.validate_shape=[64,80]", "datasplit.voxel_size=[8,8]",
        )
    )  # fmt: skip
    assert run.model.num_out_channels == 4 + 6
    assert losses(run) == pytest.approx(
        [0.75378, 0.75756, 0.75503, 0.74453, 0.75348, 0.74364], rel=1e-3
    )
    assert voi(run) == pytest.approx([4.760, 5.889], rel=0.05)


def test_an_anisotropic_run() -> None:
    run = Run(
        small_run_config(
            "architecture.input_shape=[12,44,44]", "architecture.eval_shape_increase=[0,8,8]",
            "architecture.downsample_factors=[[1,2,2]]", "datasplit.voxel_size=[40,8,8]",
            "architecture.kernel_size_down=[[[1,3,3],[3,3,3]],[[3,3,3],[1,3,3]]]",
            "architecture.kernel_size_up=[[[1,3,3],[1,3,3]]]",
            "datasplit.train_shape=[16,64,64]", "datasplit.validate_shape=[12,48,48]",
            "architecture.constant_upsample=false", "trainer.batch_size=2",
        )
    )  # fmt: skip
    assert run.model.output_shape == (8, 28, 28)
    assert losses(run) == pytest.approx(
        [0.70712, 0.70213, 0.70422, 0.70085, 0.69945, 0.69711], rel=1e-3
    )
    assert voi(run) == pytest.approx([6.972, 7.462], rel=0.05)


PLANE = [
    "architecture.input_shape=[44,44]", "architecture.eval_shape_increase=[16,16]",
    "architecture.downsample_factors=[[2,2]]", "datasplit.train_shape=[96,96]",
    "datasplit.validate_shape=[64,80]", "datasplit.voxel_size=[8,8]", "num_iterations=2",
]  # fmt: skip


@pytest.mark.parametrize("task", [t for t in TASKS if not t.startswith("affinities")])
def test_every_task_in_2d(task: str) -> None:
    run = Run(small_task_config(task, *PLANE))
    assert np.isfinite(losses(run)).all()
    scores = np.array(validate(run).scores)
    at = run.validation_scores.criteria.index(run.task.criterion)
    assert np.isfinite(scores[..., at]).any()


class TestPartialAnnotation:
    """A volume that is annotated for some classes only says nothing of the others."""

    @staticmethod
    def run_with(task: str, scrambled: bool) -> Run:
        run = Run(small_task_config(task, "num_iterations=3"))

        def partial(dataset):  # type: ignore[no-untyped-def]
            gt = np.asarray(dataset.gt.source)
            other = np.where(gt == 2, 0, np.where(gt == 0, 2, gt)) if scrambled else gt
            array = dataclasses.replace(dataset.gt, source=other)
            return dataclasses.replace(dataset, gt=array, classes=["membrane"])

        run.datasplit = DataSplit(
            [partial(d) for d in run.datasplit.train], [partial(d) for d in run.datasplit.validate]
        )
        return run

    @pytest.mark.parametrize("task", ["one_hot", "hot_distance", "distance_classes"])
    def test_labels_of_other_classes_change_nothing(self, task: str) -> None:
        plain, scrambled = (self.run_with(task, noise) for noise in (False, True))
        for ours, theirs in zip(plain.batches(0), scrambled.batches(0), strict=True):
            assert torch.equal(ours.weight, theirs.weight)
            assert (ours.weight > 0).any()
            assert plain.train_step(ours).loss == scrambled.train_step(theirs).loss
        assert all(
            torch.equal(plain.train_state.state()[k], v)
            for k, v in scrambled.train_state.state().items()
        )
        one, other = (np.array(validate(run).scores) for run in (plain, scrambled))
        assert np.array_equal(one, other, equal_nan=True)
        criteria = plain.validation_scores.criteria
        assert np.isfinite(one[..., criteria.index("membrane__dice")]).all()
        assert np.isnan(one[..., criteria.index("body__dice")]).all()
        assert np.array_equal(
            one[..., criteria.index("dice")], one[..., criteria.index("membrane__dice")]
        )

    def test_classes_that_do_not_exist_or_that_nobody_annotates(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        arrays = {"raw": rng.integers(0, 255, (40, 40, 40), np.uint8),
                  "gt": rng.integers(0, 3, (40, 40, 40), np.uint8)}  # fmt: skip
        path = write_hdf5(tmp_path / "a.h5", arrays, voxel_size=[8, 8, 8], units="nm")
        data = [
            "datasplit=volumes", f"datasplit.raw={path}:raw", f"datasplit.gt={path}:gt",
            "datasplit.validate={b: {region: {z: [200, 320]}}}",
            "task=one_hot", "task.classes={membrane: [1], body: [2]}",
        ]  # fmt: skip
        for classes, message in (
            ("[nope]", "dataset a: classes names nope, which is not one of task.classes: membrane"),
            (
                "[membrane]",
                "task.classes: no training volume has a voxel of body that is annotated",
            ),
        ):
            part = f"datasplit.train={{a: {{classes: {classes}, region: {{z: [0, 160]}}}}}}"
            with pytest.raises(InputError, match=message):
                Run(RunConfig.from_hydra(composed(*SMALL[3:], *data, part)))


def test_a_class_that_no_label_is_of(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training volume has a voxel of other that is"):
        Run(small_task_config("one_hot", "task.classes.other=[77]"))
    run = Run(small_task_config("one_hot"))
    check_scorable(run.task, run.datasplit.validate)
    validate_on = run.datasplit.validate[0]
    empty = dataclasses.replace(
        validate_on, gt=dataclasses.replace(validate_on.gt, source=np.zeros((24, 32, 32), np.uint8))
    )
    run.datasplit = DataSplit(run.datasplit.train, [empty])
    with pytest.raises(InputError, match=r"datasplit.validate.*task.criterion=dice cannot be"):
        check_scorable(run.task, run.datasplit.validate)


def test_labels_too_small_for_a_target_are_refused() -> None:
    with pytest.raises(InputError, match=r"no training volume has enough: task.scale=40.0: dist"):
        Run(small_task_config("distance", "task.scale=40"))


def test_skeletons_of_a_volume_are_scored(tmp_path: Path) -> None:
    labels = np.ones((40, 40, 40), np.uint8)
    labels[:, 30:] = 2
    raw = np.random.default_rng(0).integers(0, 255, labels.shape, np.uint8)
    path = write_hdf5(
        tmp_path / "a.h5", {"raw": raw, "gt": labels}, voxel_size=[8, 8, 8], units="nm"
    )
    (tmp_path / "a.swc").write_text("1 0 4 4 204 1 -1\n2 0 4 164 204 1 1\n3 0 4 164 4 1 2\n")
    run = Run(
RunConfig.from_hydra(
            composed(
                *SMALL_AFFINITIES[3:], "datasplit=volumes", f"datasplit.raw={path}:raw",
                f"datasplit.gt={path}:gt", "datasplit.train={a: {region: {z: [0, 160]}}}",
                f"datasplit.validate={{b: {{skeletons: {tmp_path}/a.swc, "
                f"region: {{z: [200, 320]}}}}}}",
                "task.run_length=true",
            )
        )
    )  # fmt: skip
    known = ground_truth(run.datasplit.validate[0])
    assert known.skeletons is not None
    # The region begins at z = 200 nm: the first two nodes lie in it, the third does not.
    assert known.skeletons.position[:2].tolist() == [[0.5, 0.5, 0.5], [0.5, 20.5, 0.5]]
    scores = run.task.evaluator.against(known)(np.ones((15, 40, 40), np.uint8))
    assert scores.expected_run_length == 160
    at = run.validation_scores.criteria.index("expected_run_length")
    assert np.isfinite(np.array(validate(run).scores)[..., at]).all()
