"""Blockwise segmentation agrees with that in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter

from dacapo.arrays.kept import BlockLog
from dacapo.experiments.tasks.post_processors import (
    AffinityComponents,
    Agglomeration,
    Argmax,
    Components,
    GridPostProcessor,
    MutexWatershed,
    PredictionReader,
    Threshold,
    Watershed,
)
from dacapo.inference.instances import BlockwiseSegmentation, Grid
from dacapo.ops.affinities import affinities
from dacapo.ops.overlap import overlap, variation_of_information
from dacapo.ops.synthetic import tissue

Volume = np.ndarray[Any, np.dtype[Any]]
NEIGHBORHOOD = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [4, 0, 0], [0, -6, 0], [0, 0, 6]]
SHAPE = (40, 72, 80)


@pytest.fixture(scope="module")
def cells() -> Volume:
    return tissue(SHAPE, [1] * 3, 14.0, 0.0, (0, 0)).cells.astype(np.int64)


@pytest.fixture(scope="module")
def predicted_affinities(cells: Volume) -> Volume:
    """Affinities as a network predicts them: blurred and uncertain."""
    exact = affinities(torch.from_numpy(cells)[None], NEIGHBORHOOD)[0].numpy()
    rng = np.random.default_rng(0)
    noise = [gaussian_filter(rng.normal(0, 3, SHAPE), 2) for _ in NEIGHBORHOOD]
    return (exact * 0.7 + 0.15 + 0.5 * np.stack(noise)).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def interior(cells: Volume) -> Volume:
    """Distances to the border of cells, with small noise; (1, *SHAPE)."""
    inside = np.zeros(SHAPE)
    for axis in range(3):
        inside += np.abs(np.diff(cells, axis=axis, append=-1)) > 0
    distance = np.tanh(distance_transform_edt(inside == 0) / 4)
    noise = gaussian_filter(np.random.default_rng(1).normal(0, 1, SHAPE), 2)
    return (distance + 0.5 * noise)[None].astype(np.float32)


def blockwise(
    folder: Path, processor: GridPostProcessor, prediction: Volume, edge: int, halo: int = 16
) -> Volume:
    (setting,) = processor.enumerate_parameters()
    grid = Grid(prediction.shape[1:], edge, halo)
    made = BlockwiseSegmentation(processor.blockwise(setting), prediction, grid, folder, BlockLog())
    made.run()
    out = None
    for start in grid.starts():
        core = grid.core(start)
        part = made.read_absorbed(core)
        if out is None:
            out = np.zeros((len(part), *grid.shape), np.uint64)
        out[(slice(None), *core)] = part
    assert out is not None
    return out


def in_memory(processor: GridPostProcessor, prediction: Volume) -> Volume:
    (setting,) = processor.enumerate_parameters()
    found = processor.process(prediction, setting)
    return found.reshape(-1, *prediction.shape[1:])


def voi(one: Volume, other: Volume) -> float:
    return sum(
        variation_of_information(
            overlap(one.astype(np.uint64).ravel(), other.astype(np.uint64).ravel())
        )
    )


OF_AFFINITIES = {
    "mutex_watershed": MutexWatershed(bias=[0.5], long_bias=[0.4], min_size=[0]),
    "mutex_small": MutexWatershed(bias=[0.4], long_bias=[0.4], min_size=[64]),
    "agglomeration": Agglomeration(threshold=[0.5], min_size=[0]),
    "affinity_components": AffinityComponents(threshold=[0.8]),
    "affinity_components_small": AffinityComponents(threshold=[0.8], min_size=[64]),
    "agglomeration_small": Agglomeration(threshold=[0.3], min_size=[64]),
}


@pytest.mark.parametrize("edge", [24, 32])
@pytest.mark.parametrize("kind", OF_AFFINITIES)
def test_segments_of_affinities(
    tmp_path: Path, predicted_affinities: Volume, kind: str, edge: int
) -> None:
    """Exact, as no two affinities are equal; small segments may go to others beyond the halo."""
    processor = OF_AFFINITIES[kind].build(NEIGHBORHOOD)
    expected = in_memory(processor, predicted_affinities)
    found = blockwise(tmp_path, processor, predicted_affinities, edge)
    assert len(np.unique(expected)) > 100
    assert voi(found, expected) < 1e-9


@pytest.mark.parametrize("halo", [0, 4])
def test_the_mutex_watershed_is_exact_with_any_halo(
    tmp_path: Path, predicted_affinities: Volume, halo: int
) -> None:
    random = MutexWatershed(bias=[0.5], long_bias=[0.4], min_size=[0], random_strides=True)
    processor = random.build(NEIGHBORHOOD)
    expected = in_memory(processor, predicted_affinities)
    found = blockwise(tmp_path, processor, predicted_affinities, 24, halo)
    assert voi(found, expected) < 1e-9


@pytest.mark.parametrize("halo", [0, 4])
def test_connected_voxels_are_exact_with_any_halo(
    tmp_path: Path, predicted_affinities: Volume, halo: int
) -> None:
    """Also where affinities are exactly the threshold, which float32 rounds up."""
    prediction = np.where(predicted_affinities > 0.9, predicted_affinities, np.float32(0.6))
    prediction[:, :10] = predicted_affinities[:, :10]
    processor = AffinityComponents(threshold=[0.6]).build(NEIGHBORHOOD)
    expected = in_memory(processor, prediction)
    found = blockwise(tmp_path, processor, prediction, 24, halo)
    assert len(np.unique(expected)) > 10
    assert np.array_equal(found == 0, expected == 0)
    assert voi(found, expected) < 1e-9


def test_ids_are_unique_beyond_32_bits(
    tmp_path: Path, predicted_affinities: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dacapo.inference.instances._DUST", np.uint64(2**33))
    processor = OF_AFFINITIES["mutex_small"].build(NEIGHBORHOOD)
    expected = in_memory(processor, predicted_affinities)
    found = blockwise(tmp_path, processor, predicted_affinities, 24)
    assert voi(found, expected) < 1e-9
    assert len(np.unique(found)) == found.max()  # numbered from 1
    ids = np.load(tmp_path / "lookup.npz")["ids"]
    assert ids.min() > 2**33
    assert len(np.unique(ids)) == len(ids)


def test_a_block_that_is_a_whole_volume_thin_in_one_direction(
    tmp_path: Path, predicted_affinities: Volume
) -> None:
    thin = np.ascontiguousarray(predicted_affinities[:, :3])
    processor = OF_AFFINITIES["mutex_watershed"].build(NEIGHBORHOOD)
    found = blockwise(tmp_path, processor, thin, 24)
    assert voi(found, in_memory(processor, thin)) < 1e-9


@pytest.mark.parametrize("kind", ["mutex_small", "agglomeration_small"])
def test_nothing_but_background(tmp_path: Path, kind: str) -> None:
    processor = OF_AFFINITIES[kind].build(NEIGHBORHOOD)
    nothing = np.zeros((len(NEIGHBORHOOD), 8, 40, 40), np.float32)
    assert not blockwise(tmp_path, processor, nothing, 24).any()


@pytest.mark.parametrize("edge", [24, 32])
@pytest.mark.parametrize("min_size", [0, 200])
@pytest.mark.parametrize("seed", [0.3, 0.6])
def test_watershed(tmp_path: Path, interior: Volume, edge: int, min_size: int, seed: float) -> None:
    """Exact but for what no seed within the halo reaches."""
    reader = PredictionReader(["a"], classes=lambda p: p, interior=lambda p: p[0])
    processor = Watershed(threshold=[0.1], seed_threshold=[seed], min_size=[min_size]).build(reader)
    expected = in_memory(processor, interior)
    found = blockwise(tmp_path, processor, interior, edge)
    assert voi(found, expected) <= (1e-9 if seed == 0.3 else 0.02)


@pytest.mark.parametrize("edge", [24, 32])
@pytest.mark.parametrize("min_size", [0, 200])
def test_components_are_exact(tmp_path: Path, interior: Volume, edge: int, min_size: int) -> None:
    reader = PredictionReader(["a"], classes=lambda p: p, interior=lambda p: p[0])
    processor = Components(threshold=[0.4], min_size=[min_size]).build(reader)
    expected = in_memory(processor, interior)
    found = blockwise(tmp_path, processor, interior, edge)
    assert len(np.unique(found)) > 10
    assert voi(found, expected) == 0
    assert np.array_equal(found != 0, expected != 0)


@pytest.mark.parametrize("min_size", [0, 200])
@pytest.mark.parametrize("kind", [Threshold, Argmax])
def test_classes_are_exact(
    tmp_path: Path, interior: Volume, kind: type[Threshold | Argmax], min_size: int
) -> None:
    reader = PredictionReader(["a", "b", "c"], lambda p: p, lambda p: p[0], exclusive=True)
    prediction = np.concatenate([interior, 0.8 - interior, interior[:, ::-1]])
    options = {} if kind is Argmax else {"threshold": [0.5]}
    processor = kind(min_size=[min_size], **options).build(reader)
    expected = in_memory(processor, prediction)
    assert len(np.unique(expected)) == (3 if kind is Argmax else 2)
    assert np.array_equal(blockwise(tmp_path, processor, prediction, 24), expected)


@pytest.mark.parametrize("edge", [32, 64])
def test_small_segments_far_from_large_ones_are_background(tmp_path: Path, edge: int) -> None:
    """Whether they span blocks or not; an object, and pieces of three voxels across a face."""
    shape = (12, 12, 64)
    truth = np.zeros(shape, np.int64)
    truth[:, :, :10] = 1
    truth[::2, ::2, 30:33] = np.arange(2, 38).reshape(6, 6, 1)
    exact = affinities(torch.from_numpy(truth)[None], NEIGHBORHOOD[:3])[0].numpy()
    processor = MutexWatershed(bias=[0.5], long_bias=[0.5], min_size=[20]).build(NEIGHBORHOOD[:3])
    (setting,) = processor.enumerate_parameters()
    made = BlockwiseSegmentation(
        processor.blockwise(setting), exact.astype(np.float32), Grid(shape, edge, 4), tmp_path,
        BlockLog(),
    )  # fmt: skip
    made.run()
    assert made.summary == "1 object"
    found = np.concatenate(
        [made.read_absorbed(made.grid.core(s))[0] for s in made.grid.starts()], 2
    )
    assert np.unique(found).tolist() == [0, 1]
    assert (found[:, :, :10] == 1).all()
    assert not found[:, :, 20:].any()


def test_agglomeration_without_a_halo(tmp_path: Path, predicted_affinities: Volume) -> None:
    processor = OF_AFFINITIES["agglomeration"].build(NEIGHBORHOOD)
    found = blockwise(tmp_path, processor, predicted_affinities, 32, 0)
    assert voi(found, in_memory(processor, predicted_affinities)) < 0.1


@pytest.mark.parametrize(("edge", "chunk"), [(250, 50), (256, 64), (74, 37), (251, 251)])
def test_fragments_lie_in_whole_chunks_of_a_fair_size(
    tmp_path: Path, edge: int, chunk: int
) -> None:
    import zarr

    processor = OF_AFFINITIES["mutex_watershed"].build(NEIGHBORHOOD)
    (setting,) = processor.enumerate_parameters()
    nothing = np.zeros((6, 8, 8, 8), np.float32)
    made = BlockwiseSegmentation(
        processor.blockwise(setting), nothing, Grid((8, 8, 8), edge, 8), tmp_path, BlockLog()
    )
    made.run()
    array: Any = zarr.open_array(str(tmp_path / "fragments"))
    assert array.chunks == (1, chunk, chunk, chunk)
