"""Whole recipes, conf/experiment/*.yaml, on volumes of their kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dacapo.config import conf_dir
from dacapo.experiments.run import Run
from dacapo.experiments.run_config import RunConfig
from tests.conftest import composed, data_file

VOLUMES = {
    "flyem": "flyem_fibsem_ts2_dev.h5",
    "nuclei": "gonuclear_1135.h5",
    "ovule": "plantseg_ovule.h5",
    "plant_cells": "plantcells_patch_dev.h5",
    "chloroplasts": "wsu_chloroplast_dev.h5",
}
OTHERS = {"axons", "banis", "compare_tasks", "search"}


def recipe(name: str, *more: str) -> RunConfig:
    return RunConfig.from_hydra(composed(f"experiment={name}", *more))


def steps(run: Run) -> None:
    """Two steps, on crops of which something is annotated."""
    for _, batch in zip(range(2), run.batches(0), strict=False):
        assert (batch.weight > 0).any()
        assert torch.isfinite(torch.tensor(run.train_step(batch).loss))


def test_every_recipe_is_tried() -> None:
    found = {path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml")}
    assert found == set(VOLUMES) | OTHERS


@pytest.mark.parametrize("name", VOLUMES)
def test_a_recipe_takes_a_volume_of_its_kind(name: str) -> None:
    path = data_file(VOLUMES[name])
    steps(Run(recipe(name, f"datasplit.raw={path}:raw", f"datasplit.gt={path}:labels")))


def test_axons_are_a_folder_of_images(tmp_path: Path) -> None:
    for part, number in (("train", 9), ("train", 10), ("validate", 12)):
        animal = 4 if number == 12 else 3
        image = data_file(f"axon_sem2d/sub-rat{animal}_sample-data{number}.h5")
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / image.name).symlink_to(image)
    steps(Run(recipe("axons", f"datasplit.path={tmp_path}")))


def test_banis_is_the_network_of_the_benchmark() -> None:
    """MedNeXt-S with kernels of 3 and six affinities has 5.5 million weights."""
    config = recipe(
        "banis", "datasplit.raw=a", "datasplit.gt=b", "datasplit.train={a: {}}",
        "datasplit.validate={b: {}}",
    )  # fmt: skip
    assert config.task_config.build().predictor.num_channels == 6
    network = config.architecture_config.build()
    num = sum(parameter.numel() for parameter in network.parameters())
    assert num == pytest.approx(5.5e6, rel=0.05)
