"""The functions that targets, segmentations and scores are made of, beside other libraries.

One thread. Each line is the median of some calls of ours and of theirs in turn, and the median of
the ratios; peers that need zarr 2 answer from an environment of their own (benchmarks/peers.txt).
A copy of the same bytes says how far each is from the memory's bandwidth.

    python benchmarks/ops.py [peers=peers/bin/python] [only=voi] [edge=256]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import SimpleITK as sitk
import torch
from peer import OFFSETS
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import watershed

from dacapo.experiments.tasks.evaluators import GroundTruth, InstanceEvaluator
from dacapo.experiments.tasks.post_processors import Agglomeration
from dacapo.experiments.tasks.predictors import AffinitiesPredictor
from dacapo.ops.affinities import affinities
from dacapo.ops.components import components
from dacapo.ops.descriptors import local_shape_descriptors
from dacapo.ops.distances import signed_distance
from dacapo.ops.mutex_watershed import mutex_watershed
from dacapo.ops.overlap import adapted_rand, overlap
from dacapo.ops.overlap import variation_of_information as voi
from dacapo.ops.surfaces import Shape, SurfaceDistances
from dacapo.ops.synthetic import tissue
from dacapo.ops.watershed import seeded_watershed
from dacapo.processes.memory import peak_memory_mib, reset_peak_memory

Timed = Callable[[], float]


class Peers:
    """Another Python that runs the jobs of benchmarks/peer.py and says how long they took."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("peer.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._folder = tempfile.TemporaryDirectory()
        self.grown_mib = 0.0

    def job(self, name: str, **arrays: np.ndarray) -> tuple[Timed, Path]:
        """A function that runs the job, and where its result will lie."""
        file, result = (Path(self._folder.name) / f"{name}.{end}" for end in ("npz", "npy"))
        np.savez(file, **arrays)
        asked = json.dumps({"job": name, "file": str(file), "result": str(result)})

        def run() -> float:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(asked + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            self.grown_mib = answer["grown_mib"]
            return float(answer["seconds"])

        return run, result


def timed(function: Callable[[], object]) -> Timed:
    def run() -> float:
        begin = time.perf_counter()
        function()
        return time.perf_counter() - begin

    return run


def compare(
    name: str, ours: Callable[[], object], theirs: Timed, num_bytes: int, repeat: int = 3
) -> None:
    """Print medians, the median ratio, and how many copies of `num_bytes` ours is worth."""
    ours()
    mine, other, ratios = [], [], []
    for _ in range(repeat):
        mine.append(timed(ours)())
        other.append(theirs())
        ratios.append(other[-1] / mine[-1])
    source = np.ones(num_bytes, np.uint8)
    copy = median(timed(source.copy)() for _ in range(3))
    print(
        f"{name:58s} {median(mine):8.3f} s {median(other):9.3f} s {median(ratios):7.1f} x"
        f"   {median(mine) / copy:6.0f} copies"
    )


def bench_affinities(edge: int, peers: Peers | None) -> None:
    if peers is None:
        return
    labels = tissue((edge,) * 3, (1, 1, 1), 24.0, 0.0, (0, 0)).cells
    mask = (np.random.default_rng(0).random(labels.shape) < 0.9).astype(np.uint8)
    predictor = AffinitiesPredictor(OFFSETS)
    gt, known = torch.from_numpy(labels.astype(np.int32))[None], torch.from_numpy(mask)[None]

    def ours() -> None:
        predictor.create_weight(gt, predictor.create_target(gt), known)

    theirs, _ = peers.job("affinities", labels=labels.astype(np.uint64), mask=mask)
    compare("10 affinities, mask, balance; gunpowder", ours, theirs, 2 * 10 * 4 * labels.size)


def bench_lsds(edge: int, peers: Peers | None) -> None:
    if peers is None:
        return
    rng = np.random.default_rng(0)
    seeds = np.zeros((96,) * 3, np.uint32)
    seeds.reshape(-1)[rng.choice(seeds.size, 25, replace=False)] = np.arange(1, 26)
    nearest = distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    labels = seeds[tuple(nearest)]
    gt = torch.from_numpy(labels.astype(np.int32))[None]

    def ours() -> None:
        local_shape_descriptors(gt, [8.0] * 3, (1, 1, 1))

    theirs, _ = peers.job("lsds", labels=labels)
    compare("LSDs of 96^3, 25 objects, sigma 8; lsds", ours, theirs, 10 * 4 * labels.size)


def bench_distances(edge: int, peers: Peers | None) -> None:
    cells = tissue((edge,) * 3, (1, 1, 1), 24.0, 0.0, (0, 0)).apart(3)
    classes = [np.where(cells > 0, cells % 4 + 1, 0) == c for c in range(1, 5)]

    def ours() -> None:
        for inside in classes:
            signed_distance(inside, (1, 1, 1), 20.0)

    def theirs() -> None:
        for inside in classes:
            distance_transform_edt(inside) - distance_transform_edt(~inside)

    compare("signed distances of 4 classes; scipy", ours, timed(theirs), 4 * 4 * cells.size)


def bench_watershed(edge: int, peers: Peers | None) -> None:
    cells = tissue((edge,) * 3, (1, 1, 1), 24.0, 0.0, (0, 0)).apart(3)
    distance = signed_distance(cells, (1, 1, 1), 20)
    seeds, mask = components(distance > 4), cells != 0
    compare(
        "seeded watershed; scikit-image",
        lambda: seeded_watershed(distance, seeds, mask),
        timed(lambda: watershed(-distance, seeds, mask=mask)),
        8 * cells.size,
    )


def noisy_affinities(edge: int, offsets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Cells, and affinities as a network might predict them, without ties."""
    cells = tissue((edge,) * 3, (1, 1, 1), 24.0, 0.0, (0, 0)).cells
    exact = affinities(torch.from_numpy(cells.astype(np.int32))[None], offsets)[0].numpy()
    rng = np.random.default_rng(0)
    smooth = [gaussian_filter(a.astype(np.float32), 0.7) for a in exact]
    noise = rng.normal(0, 0.05, exact.shape).astype(np.float32)
    return cells, (np.stack(smooth) * 0.8 + 0.1 + noise).clip(0, 1)


def bench_mutex(edge: int, peers: Peers | None) -> None:
    if peers is None:
        return
    strides = np.array([[1, 1, 1] if sum(map(abs, o)) == 1 else [2, 2, 2] for o in OFFSETS])
    small = without_ties(noisy_affinities(24, OFFSETS)[1] - 0.5, strides)
    theirs, result = peers.job("mutex", weights=small, strides=strides)
    theirs()
    ours = mutex_watershed(small, OFFSETS, strides.tolist())
    differ = sum(voi(overlap(ours.astype(np.int64), np.load(result).astype(np.int64))))
    print(f"mutex watershed of 24^3 without ties: VOI to mwatershed {differ:.2g}")

    weights = noisy_affinities(edge, OFFSETS)[1] - 0.5
    theirs, _ = peers.job("mutex", weights=weights, strides=strides)
    reset_peak_memory()
    before = peak_memory_mib()
    mutex_watershed(weights, OFFSETS, strides.tolist())
    grown = peak_memory_mib() - before
    compare(
        "mutex watershed, 10 affinities, strides; mwatershed",
        lambda: mutex_watershed(weights, OFFSETS, strides.tolist()),
        theirs,
        weights.nbytes,
        repeat=1,
    )
    print(f"{'':58s} {grown:8.0f} MiB {peers.grown_mib:7.0f} MiB beyond the input")


def without_ties(weights: np.ndarray, strides: np.ndarray) -> np.ndarray:
    """The same signs and order, each edge that is used with a magnitude of its own."""
    used = np.zeros(weights.shape, bool)
    for channel, (sz, sy, sx) in zip(used, strides, strict=True):
        channel[::sz, ::sy, ::sx] = True
    rank = np.abs(weights[used]).argsort().argsort() + 1
    out = np.zeros_like(weights)
    out[used] = np.where(weights[used] > 0, rank, -rank) / len(rank)
    return out


def bench_voi(edge: int, peers: Peers | None) -> None:
    cells = tissue((edge,) * 3, (1, 1, 1), 24.0, 0.0, (0, 0)).cells
    rng = np.random.default_rng(0)
    other = np.where(rng.random(cells.shape) < 0.05, 0, cells // 2 + 1).astype(np.uint32)

    def ours() -> None:
        table = overlap(cells, other)
        voi(table), adapted_rand(table)

    def theirs() -> None:
        variation_of_information(cells, other)
        adapted_rand_error(cells, other)

    compare("VOI and adapted Rand; scikit-image", ours, timed(theirs), 8 * cells.size)
    score = InstanceEvaluator().against(GroundTruth(cells))
    compare("18 instance scores; the same", lambda: score(other), timed(theirs), 8 * cells.size)


def bench_thresholds(edge: int, peers: Peers | None) -> None:
    steps = np.eye(3, dtype=int).tolist()
    cells, prediction = noisy_affinities(edge, steps)
    score = InstanceEvaluator().against(GroundTruth(cells))

    def family(thresholds: list[float]) -> Callable[[], None]:
        post = Agglomeration(threshold=thresholds).build(steps)

        def run() -> None:
            for _, segments in post.process_all(prediction):
                score(segments)

        return run

    many = family(np.linspace(0.05, 0.95, 20).round(3).tolist())
    compare(
        "1 threshold of an agglomeration, scored; 20 of them",
        family([0.95]), timed(many), prediction.nbytes, repeat=1,
    )  # fmt: skip


def bench_surfaces(edge: int, peers: Peers | None) -> None:
    truth = tissue((edge,) * 3, (1, 1, 1), 24.0, 0.0, (0, 0)).apart(3) != 0
    prediction = np.roll(truth, 2, 0)
    everywhere = np.ones(truth.shape, bool)
    known = Shape(truth, everywhere, (4.0, 1.0, 1.0))
    known.surface_distance  # of truth: once for all that is compared with it
    images = [sitk.GetImageFromArray(a.astype(np.uint8)) for a in (truth, prediction)]
    for image in images:
        image.SetSpacing((1.0, 1.0, 4.0))

    def ours() -> None:
        found = SurfaceDistances(known, Shape(prediction, everywhere, (4.0, 1.0, 1.0)))
        found.hausdorff, found.hausdorff_percentile(95), found.mean

    def theirs() -> None:
        distances, surfaces = [], []
        for image in images:
            contour = sitk.LabelContour(image)
            outside = sitk.SignedMaurerDistanceMap(
                contour, squaredDistance=False, useImageSpacing=True
            )
            distances.append(np.abs(sitk.GetArrayViewFromImage(outside)))
            surfaces.append(sitk.GetArrayViewFromImage(contour) != 0)
        both = [distances[1][surfaces[0]], distances[0][surfaces[1]]]
        for d in both:
            d.max(), np.percentile(d, 95), d.mean()

    compare("Hausdorff, its 95 %, mean distance; SimpleITK", ours, timed(theirs), 8 * truth.size)


BENCHES = {
    "affinities": bench_affinities,
    "lsds": bench_lsds,
    "distances": bench_distances,
    "watershed": bench_watershed,
    "mutex": bench_mutex,
    "voi": bench_voi,
    "thresholds": bench_thresholds,
    "surfaces": bench_surfaces,
}


def main() -> None:
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    asked = dict(argument.split("=", 1) for argument in sys.argv[1:])
    edge = int(asked.get("edge", 256))
    peers = Peers(asked["peers"]) if "peers" in asked else None
    print(f"{f'{edge}^3 unless said otherwise':58s} {'ours':>10s} {'theirs':>11s} {'ratio':>9s}")
    for name, bench in BENCHES.items():
        if asked.get("only", name) == name:
            bench(edge, peers)


if __name__ == "__main__":
    main()
