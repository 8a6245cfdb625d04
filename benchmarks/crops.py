"""How fast random crops come from a zarr volume, plain and augmented, beside other loaders.

Makes a volume of 1024^3 voxels once (raw uint8, labels uint8 or wider, chunks of 64^3, zstd). Each
line is the median of some rounds of ours and of theirs in turn; nan where a peer's worker hangs.
The peers need zarr 2 and answer from an environment of their own (benchmarks/peers.txt).

    python benchmarks/crops.py peers=peers/bin/python [rounds=3] [seconds=8]
        [folder=/tmp/crops] [labels=uint8] [only=plain0]
    python benchmarks/crops.py memory [folder=/tmp/crops] [crops=10000]
    python benchmarks/crops.py cache [folder=/tmp/crops]
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numcodecs
import numpy as np
import torch
import zarr
from funlib.geometry import Coordinate

from dacapo.arrays import ReadOptions, open_array
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.predictors import AffinitiesPredictor
from dacapo.experiments.trainers.augments import Elastic, Intensity, Mirror
from dacapo.experiments.trainers.crops import CropSampler
from dacapo.experiments.trainers.samples import BatchMaker
from dacapo.experiments.trainers.trainer import SampleShape
from dacapo.ops.draws import generator
from dacapo.ops.synthetic import tissue
from dacapo.processes.prefetch import prefetch

EDGE, CHUNK, CROP = 1024, 64, 128


def make_volume(folder: Path, labels: str) -> Path:
    """Tissue of 256^3, mirrored to fill the volume, with ids that differ from tile to tile."""
    path = folder / f"volume_{labels}.zarr"
    if (path / "done").exists():
        return path
    made = tissue((256,) * 3, (8, 8, 8), 24.0, 0.08, (0, 0))
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    rng = np.random.default_rng(0)
    for name, dtype in (("raw", "uint8"), ("labels", labels)):
        array = group.create_array(
            name, shape=(EDGE,) * 3, chunks=(CHUNK,) * 3, dtype=dtype,
            compressors=numcodecs.Zstd(level=3),
        )  # fmt: skip
        array.attrs.update(
            {"voxel_size": [8] * 3, "resolution": [8] * 3, "offset": [0] * 3, "units": ["nm"] * 3}
        )
        for number, corner in enumerate(np.ndindex(4, 4, 4)):
            place = tuple(slice(256 * c, 256 * (c + 1)) for c in corner)
            flips = tuple(slice(None, None, -1 if c % 2 else 1) for c in corner)
            if name == "raw":
                shift = rng.integers(-3, 4, (256,) * 3)
                array[place] = (made.raw[flips] + shift).clip(0, 255).astype(np.uint8)
            else:
                ids = made.cells[flips].astype(np.int64) + 10_000 * number
                array[place] = (1 + ids % np.iinfo(labels).max).astype(labels)
    (path / "done").touch()
    return path


def open_dataset(path: Path, cache_mib: int = 512) -> Dataset:
    options = ReadOptions(cache_mib=cache_mib)
    raw, gt = (open_array(f"{path}/{n}", options=options) for n in ("raw", "labels"))
    return Dataset("volume", raw, gt, intensity_range=(0.0, 255.0))


def plain(path: Path, workers: int) -> Iterator[object]:
    """Raw, normalised, and labels."""
    dataset = open_dataset(path)
    sampler = CropSampler([dataset], Coordinate((CROP,) * 3) * 8000)

    def crop(number: int) -> tuple[np.ndarray, np.ndarray]:
        roi = sampler.draw(generator(0, number)).roi
        return dataset.read_raw(roi), dataset.read_gt(roi)

    if workers == 0:
        return (crop(i) for i in range(10**9))
    return prefetch(crop, 0, 10**9, workers)


def augmented(path: Path, workers: int) -> Iterator[object]:
    """As in training: elastic and turned, mirrored, other intensities."""
    dataset = open_dataset(path)
    size = Coordinate((CROP,) * 3)
    shape = SampleShape(size, dataset.raw.voxel_size, size, dataset.raw.voxel_size)
    sampler = CropSampler([dataset], size * 8000)
    augments = [
        ("elastic", Elastic(p=1.0, control_point_spacing=24.0)),
        ("mirror", Mirror()),
        ("intensity", Intensity(p=1.0, scale=[0.8, 1.2], shift=[-0.15, 0.15])),
    ]
    maker = BatchMaker(
        sampler, AffinitiesPredictor([[1, 0, 0]]), shape, augments, torch.device("cpu"), range(1)
    )
    return (maker.sample(0, i, 0)[0] for i in range(10**9))


def rate(crops: Iterator[object], seconds: float) -> float:
    """Crops a second, after two that are not counted."""
    for _ in range(2):
        next(crops)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(crops)
        count += 1
    result = count / (time.perf_counter() - begin)
    if isinstance(crops, Iterator) and hasattr(crops, "close"):
        crops.close()
    return result


class Peer:
    """Asks benchmarks/peer_crops.py, a new process for each measurement."""

    def __init__(self, python: str, path: Path, seconds: float) -> None:
        self._python, self._path, self._seconds = python, path, seconds

    def rate(self, loader: str, kind: str, workers: int) -> float:
        asked = {
            "loader": loader, "kind": kind, "workers": workers, "path": str(self._path),
            "seconds": self._seconds, "crop": CROP,
        }  # fmt: skip
        try:
            answer = subprocess.run(
                [self._python, str(Path(__file__).with_name("peer_crops.py")), json.dumps(asked)],
                check=False, capture_output=True, text=True, timeout=30 + 3 * self._seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return math.nan  # a forked worker that hangs
        return float(json.loads(answer.stdout.splitlines()[-1])["rate"])


def compare(peer: Peer, path: Path, rounds: int, seconds: float, only: str) -> None:
    cases: list[tuple[str, int, Callable[[Path, int], Iterator[object]]]] = [
        *(("plain", workers, plain) for workers in (0, 1, 2)),
        ("augmented", 0, augmented),
    ]
    for kind, workers, make in cases:
        if only not in f"{kind}{workers}":
            continue
        if kind == "augmented":
            torch.set_num_threads(1)
        mine: list[float] = []
        theirs: dict[str, list[float]] = {"gunpowder": [], "dacapo-toolbox": []}
        for _ in range(rounds):
            mine.append(rate(make(path, workers), seconds))
            for loader, rates in theirs.items():
                rates.append(peer.rate(loader, kind, workers))
        line = f"{kind:10s} {workers} workers: ours {median(mine):7.2f}/s"
        for loader, rates in theirs.items():
            ratio = median(m / t for m, t in zip(mine, rates, strict=True))
            line += f"   {loader} {median(rates):6.2f}/s ({ratio:.1f} x)"
        print(line, flush=True)


def rss_mib() -> float:
    """Of this process and its children."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(path: Path, num: int) -> None:
    """Memory over many crops, two workers; there are no other processes."""
    crops = plain(path, 2)
    for number in range(num + 1):
        next(crops)
        if number in (num // 50, num // 10, num // 4, num // 2, num):
            print(f"{number:6d} crops: {rss_mib():.0f} MiB, {threading.active_count()} threads",
                  flush=True)  # fmt: skip


def cache(path: Path) -> None:
    """The same region again and again, with and without room for its chunks."""
    for mib in (0, 512):
        dataset = open_dataset(path, mib)
        sampler = CropSampler([dataset], Coordinate((CROP,) * 3) * 8000)
        roi = sampler.draw(generator(0, 0)).roi
        dataset.read_gt(roi)
        begin = time.perf_counter()
        for _ in range(20):
            dataset.read_gt(roi)
        print(f"cache of {mib} MiB: {(time.perf_counter() - begin) / 20 * 1e3:.1f} ms a crop")


def main() -> None:
    words = [a for a in sys.argv[1:] if "=" not in a]
    options = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    folder = Path(options.get("folder", "/tmp/crops"))
    folder.mkdir(parents=True, exist_ok=True)
    path = make_volume(folder, options.get("labels", "uint8"))
    if "memory" in words:
        memory(path, int(options.get("crops", 10_000)))
    elif "cache" in words:
        cache(path)
    else:
        seconds = float(options.get("seconds", 8))
        peer = Peer(options["peers"], path, seconds)
        compare(peer, path, int(options.get("rounds", 3)), seconds, options.get("only", ""))


if __name__ == "__main__":
    main()
