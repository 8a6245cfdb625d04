from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dacapo.ops.affinities import affinities as exact_affinities
from dacapo.ops.agglomeration import agglomerate, fragments
from dacapo.ops.overlap import overlap, variation_of_information
from dacapo.ops.synthetic import tissue


def of_cells(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    cells = tissue(shape, [1] * len(shape), 14.0, 0.0, (0, 0)).cells
    steps = np.eye(len(shape), dtype=int).tolist()
    exact = exact_affinities(torch.from_numpy(cells.astype(np.int32))[None], steps)[0]
    return cells, exact.float().numpy() * 0.9 + 0.05


@pytest.mark.parametrize("shape", [(64, 72), (24, 40, 40)])
@pytest.mark.parametrize("quantile", [None, 50, 75])
def test_exact_affinities_lead_back_to_the_cells(
    shape: tuple[int, ...], quantile: int | None
) -> None:
    cells, affinities = of_cells(shape)
    parts = fragments(affinities)
    (segment,) = agglomerate(affinities, parts, [0.5], quantile)
    merged = segment[parts]
    inside = parts != 0
    assert inside.mean() > 0.6
    assert merged.shape == shape
    split, merge = variation_of_information(overlap(cells[inside], merged[inside]))
    assert merge < 0.02
    assert split < 0.6


def test_thresholds_come_from_one_agglomeration_and_are_nested() -> None:
    _, affinities = of_cells((24, 40, 40))
    affinities += np.random.default_rng(0).normal(0, 0.15, affinities.shape).astype(np.float32)
    affinities = affinities.clip(0, 1)
    parts = fragments(affinities)
    every = [segment[parts] for segment in agglomerate(affinities, parts, [0.2, 0.5, 0.8])]
    counts = [len(np.unique(segments)) for segments in every]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    for fine, coarse in zip([parts.astype(np.uint32), *every], every, strict=False):
        split, _ = variation_of_information(overlap(fine.reshape(-1), coarse.reshape(-1)))
        assert split == pytest.approx(0, abs=1e-9)  # a segment never falls apart again
    alone = [next(agglomerate(affinities, parts, [t]))[parts] for t in (0.2, 0.5, 0.8)]
    for one, other in zip(every, alone, strict=True):
        assert variation_of_information(overlap(one, other)) == (0, 0)


def test_flat_fragments_end_at_each_section() -> None:
    _, affinities = of_cells((6, 40, 40))
    parts = fragments(affinities, per_section=True)
    for above, below in itertools.pairwise(parts):
        assert not set(np.unique(above)) & set(np.unique(below)) - {0}


def test_it_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    _, affinities = of_cells((8, 16, 16))
    list(agglomerate(affinities, fragments(affinities), [0.3, 0.6]))
    print("said")
    assert capfd.readouterr().out == "said\n"


def test_nothing_inside() -> None:
    low = np.zeros((3, 8, 8, 8), np.float32)
    parts = fragments(low)
    assert not parts.any()
    assert next(agglomerate(low, parts, [0.5])).tolist() == [0]
