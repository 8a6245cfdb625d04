"""What a plan chooses for data of many kinds, and that a run can be built of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dacapo.planning.device import Device
from dacapo.planning.fingerprint import Fingerprint
from dacapo.planning.plan import Plan
from dacapo.planning.project import config_files
from dacapo.planning.rules import RULES

CPU = Device("a CPU with 2 cores", False, 0, False)
GPU = Device("a GPU with 24 GiB", True, 24 * 2**30, True)
NEURONS = Fingerprint(
    num_volumes=1, shape=(170, 250, 250), voxel_size=(10.0, 10.0, 10.0),
    raw_voxel_size=(10.0, 10.0, 10.0), unit="nm", num_channels=1, dtype="uint8",
    intensities=(40.0, 130.0, 240.0), annotated=1.0, labelled=1.0, touching=1.0, is_sampled=False,
    ids=dict.fromkeys(range(1, 101), 50_000), sizes=(50_000,) * 100, pieces=1.0, num_fragments=0,
    volume=50_000.0, thickness=(160.0, 270.0, 600.0),
)  # fmt: skip
NUCLEI = replace(
    NEURONS, shape=(100, 100, 100), voxel_size=(284.0, 127.0, 127.0),
    raw_voxel_size=(284.0, 127.0, 127.0), intensities=(2.0, 26.0, 106.0), labelled=0.23,
    touching=0.002, thickness=(1200.0, 3050.0, 3800.0), volume=3800.0,
    ids=dict.fromkeys(range(1, 51), 3800), sizes=(3800,) * 50,
)  # fmt: skip
CLASSES = replace(
    NEURONS, shape=(700, 700), voxel_size=(100.0, 100.0), raw_voxel_size=(100.0, 100.0),
    labelled=0.6, touching=0.4, pieces=500.0, ids={1: 200_000, 2: 80_000},
    sizes=(200_000, 80_000), thickness=(2300.0, 3500.0, 7400.0), volume=140_000.0,
)  # fmt: skip


def plan(found: Fingerprint, device: Device = CPU, **given: Any) -> Plan:
    given = {key.replace("__", "."): value for key, value in given.items()}
    made = Plan(
        found, device, 1800, given, {"task", "architecture", "datasplit", "trainer/augments"}
    )
    made.apply(RULES)
    return made


@pytest.mark.parametrize(
    ("found", "task", "architecture"),
    [
        (NEURONS, "affinities", "unet"),
        (NUCLEI, "boundary", "unet"),
        (CLASSES, "one_hot", "unet_2d"),
        (replace(CLASSES, pieces=1.0, touching=0.9, ids=NEURONS.ids), "affinities_2d", "unet_2d"),
        (replace(NUCLEI, ids={1: 9000}, sizes=(9000,)), "one_hot", "unet"),  # a mask
    ],
)
def test_the_task_follows_the_labels(found: Fingerprint, task: str, architecture: str) -> None:
    made = plan(found)
    assert (made["task"], made["architecture"]) == (task, architecture)


def test_offsets_are_lengths_in_the_world_not_numbers_of_voxels() -> None:
    offsets = plan(NEURONS)["task.neighborhood"]
    assert offsets[:3] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert offsets[-3:] == [[9, 0, 0], [0, 9, 0], [0, 0, 9]]  # two thirds of 135 nm
    thick = replace(NEURONS, voxel_size=(40.0, 10.0, 10.0), raw_voxel_size=(40.0, 10.0, 10.0))
    assert plan(thick)["task.neighborhood"][-3:] == [[2, 0, 0], [0, 9, 0], [0, 0, 9]]


def test_no_offset_leaves_the_annotation() -> None:
    flat = replace(NEURONS, shape=(12, 250, 250))
    assert max(offset[0] for offset in plan(flat)["task.neighborhood"]) <= 3


def test_the_gap_between_parts_holds_the_longest_offset() -> None:
    made = plan(NEURONS)
    assert made["datasplit.axis"] == "x"
    assert made["datasplit.buffer"] >= 90
    shares = [made[f"datasplit.{part}"] for part in ("train", "validate", "test")]
    assert sum(shares) == pytest.approx(1)


def test_too_few_objects_for_a_test_region() -> None:
    made = plan(replace(NEURONS, sizes=(50_000,) * 12))
    assert made["datasplit.test"] == 0
    assert "somewhat optimistic" in made.choices["datasplit.test"].reason


def test_sections_of_electron_microscopy_get_defects() -> None:
    sections = replace(NEURONS, raw_voxel_size=(40.0, 4.0, 4.0), voxel_size=(40.0, 4.0, 4.0))
    assert "dark_sections" in plan(sections)["trainer/augments"]
    assert "dark_sections" not in plan(NEURONS)["trainer/augments"]
    assert "blur" in plan(NUCLEI)["trainer/augments"]


def test_a_range_of_intensities_that_is_hardly_used() -> None:
    assert plan(NUCLEI)["datasplit.normalize"] == "percentile"
    assert "datasplit.normalize" not in plan(NEURONS).choices


def test_what_the_user_has_chosen_stays_and_the_rest_follows() -> None:
    made = plan(NEURONS, task="distance", architecture__num_fmaps=20)
    assert made["task"] == "distance"
    assert made["architecture.num_fmaps"] == 20
    assert "task.neighborhood" not in made.choices
    assert made.choices["task"].reason == "as given on the command line"


def test_a_network_of_another_kind_keeps_its_own_options() -> None:
    made = plan(NEURONS, architecture="mednext")
    assert not [key for key in made.choices if key.startswith("architecture.")]


def test_a_gpu_gets_more_than_a_cpu() -> None:
    small, large = plan(NEURONS), plan(NEURONS, GPU)
    assert small["architecture.num_fmaps"] < large["architecture.num_fmaps"]
    assert large["trainer.precision"] == "bf16"
    assert "trainer.precision" not in small.choices


def test_every_choice_has_its_reason_in_the_experiment() -> None:
    made = plan(NUCLEI)
    files = config_files("mine", made)
    assert {*files} == {
        "conf/experiment/mine.yaml", "conf/task/boundary_mine.yaml",
        "conf/architecture/unet_mine.yaml",
    }  # fmt: skip
    text = "\n".join(files.values())
    joined = " ".join(line.strip().lstrip("# ") for line in text.splitlines())
    for choice in made.choices.values():
        assert choice.reason in joined, choice


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ({}, (0.6, 0.2, 0.2)),
        ({"datasplit__train": 0.5}, (0.5, 0.25, 0.25)),
        ({"datasplit__test": 0.1}, (0.675, 0.225, 0.1)),
        ({"datasplit__validate": 0.3}, (0.5, 0.3, 0.2)),
        ({"datasplit__train": 0.8, "datasplit__test": 0}, (0.8, 0.2, 0)),
    ],
)
def test_the_parts_of_a_volume_add_up(given: dict[str, float], shares: tuple[float, ...]) -> None:
    made = plan(NEURONS, **given)
    assert [made[f"datasplit.{p}"] for p in ("train", "validate", "test")] == pytest.approx(shares)
