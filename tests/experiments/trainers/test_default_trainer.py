from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.trainers import DefaultTrainerConfig
from dacapo.experiments.trainers.trainer import Batch
from tests.conftest import SMALL_AFFINITIES, composed, small_run_config, write_hdf5


def first_batches(*overrides: str, begin: int = 0) -> list[Batch]:
    run = Run(small_run_config(*overrides))
    return list(run.batches(begin))


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, k), getattr(other, k)) for k in ("raw", "target", "weight"))


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_workers_or_on_where_one_begins(workers: int) -> None:
    whole = first_batches("trainer.num_workers=0", "trainer.batch_size=2")
    part = first_batches(f"trainer.num_workers={workers}", "trainer.batch_size=2", begin=2)
    assert [b.iteration for b in part] == [2, 3, 4, 5]
    assert all(same(a, b) for a, b in zip(whole[2:], part, strict=True))


def test_the_order_in_which_augments_are_named_changes_nothing() -> None:
    one = first_batches("trainer/augments=[mirror,noise,gamma,elastic]")
    two = first_batches("trainer/augments=[elastic,gamma,noise,mirror]")
    assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_repetitions_differ_and_equal_ones_pair_up() -> None:
    one, two = first_batches("repetition=0"), first_batches("repetition=1")
    assert not same(one[0], two[0])
    other_task = first_batches("repetition=0", "task.lsds=true", "task.lsd_sigma=1.0")
    # Other targets read more around a crop, so only the place is compared.
    assert [b.places for b in one] == [b.places for b in other_task]


def test_shapes() -> None:
    batch = first_batches("trainer.batch_size=3")[0]
    assert batch.raw.shape == (3, 1, 28, 28, 28)
    assert batch.target.shape == batch.weight.shape == (3, 6, 12, 12, 12)
    assert len(batch.places) == 3


def test_targets_know_what_lies_beyond_the_crop() -> None:
    """Long offsets at the border of the output are trained too: labels are read beyond it."""
    for batch in first_batches("trainer/augments=[]"):
        assert (batch.weight.amax((0, 2, 3, 4)) > 0).all()
        inner = batch.weight[0, 3, -1]
        if inner.any():
            return
    pytest.fail("the last plane of the long offset never had any weight")


def test_schedule() -> None:
    trainer = DefaultTrainerConfig(
        learning_rate=1.0, warmup_iterations=4, final_rate=0.1, schedule_iterations=104
    ).build()
    rates = [trainer.learning_rate(i) for i in range(200)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert all(np.diff(rates[4:104]) < 0)
    assert rates[103] == pytest.approx(0.1)
    assert rates[199] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["adamw", "radam", "sgd"])
def test_optimizers(name: str) -> None:
    run = Run(small_run_config(f"trainer.optimizer={name}"))
    assert type(run.train_state.optimizer).__name__.lower() == name


@pytest.mark.parametrize(
    ("device", "message"),
    [("toaster", "trainer.device=toaster"), ("cuda:99", "trainer.device=cuda:99 is not available")],
)
def test_no_such_device(device: str, message: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    with pytest.raises(InputError, match=message):
        Run(small_run_config(f"trainer.device={device}"))


def on_the_disk(path: Path, *overrides: str, **arrays: Any) -> list[Batch]:
    """The first batches of a volume of random voxels with these labels."""
    shape = arrays["labels"].shape
    raw = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    file = write_hdf5(path / "a.h5", {"raw": raw, **arrays}, voxel_size=[8, 8, 8], units="nm")
    small = [o for o in SMALL_AFFINITIES if not o.startswith("datasplit.")]
    config = composed(
        *small, "datasplit=regions", f"datasplit.raw={file}:raw", f"datasplit.gt={file}:labels",
        "datasplit.buffer=80", "trainer/augments=[]", *overrides,
    )  # fmt: skip
    return list(Run(RunConfig.from_hydra(config)).batches(0))


def test_a_weight_array_is_a_factor_of_the_loss(tmp_path: Path) -> None:
    labels = (1 + np.arange(120)[:, None, None] // 3 + np.zeros((120, 40, 40))).astype(np.uint32)
    weight = np.broadcast_to(1.0 + np.arange(40) % 2, labels.shape).astype(np.float32)
    plain = on_the_disk(tmp_path, labels=labels)
    weighed = on_the_disk(
        tmp_path, f"datasplit.weight={tmp_path}/a.h5:weight", labels=labels, weight=weight
    )
    ratios = set()
    for one, other in zip(plain, weighed, strict=True):
        assert one.places == other.places
        known = one.weight != 0
        assert torch.equal(known, other.weight != 0)
        ratios |= set((other.weight[known] / one.weight[known]).tolist())
    assert ratios == {1.0, 2.0}


def test_ids_up_to_2_to_the_63_stay_apart(tmp_path: Path) -> None:
    labels = np.full((120, 40, 40), 2**63 - 1, np.uint64)
    labels[:, 20:] = 2**63 - 2
    batches = on_the_disk(tmp_path, labels=labels)
    small = on_the_disk(tmp_path, labels=(labels == 2**63 - 1) + np.uint8(1))
    assert all(same(a, b) for a, b in zip(batches, small, strict=True))
    assert any((b.target == 0)[b.weight != 0].any() for b in batches)
