"""Runs in the peers' environment: one job a line on standard input, its seconds on standard output.

`benchmarks/ops.py` starts it. A line is {"job": name, "file": arrays.npz}.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

OFFSETS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 0, 0], [0, 3, 0], [0, 0, 3],
           [9, 0, 0], [0, 9, 0], [0, 0, 9], [0, 6, 6]]  # fmt: skip


def affinities(labels: np.ndarray, mask: np.ndarray) -> Callable[[], Any]:
    """gunpowder's AddAffinities with a mask, and BalanceLabels, from arrays in memory."""
    import gunpowder as gp

    keys = {n: gp.ArrayKey(n) for n in ("LABELS", "MASK", "AFFS", "AFFS_MASK", "SCALE")}
    given = {keys["LABELS"]: labels, keys["MASK"]: mask}
    whole = gp.Roi((0, 0, 0), labels.shape)

    class Memory(gp.BatchProvider):  # type: ignore[misc]
        def setup(self) -> None:
            for key in given:
                spec = gp.ArraySpec(roi=whole, voxel_size=(1, 1, 1), interpolatable=False)
                self.provides(key, spec)

        def provide(self, request: Any) -> Any:
            batch = gp.Batch()
            for key, data in given.items():
                if key in request:
                    spec = self.spec[key].copy()
                    spec.roi = request[key].roi
                    batch[key] = gp.Array(data[spec.roi.to_slices()], spec)
            return batch

    pipeline = (
        Memory()
        + gp.AddAffinities(
            OFFSETS, keys["LABELS"], keys["AFFS"], labels_mask=keys["MASK"],
            affinities_mask=keys["AFFS_MASK"], dtype=np.float32,
        )
        + gp.BalanceLabels(
            keys["AFFS"], keys["SCALE"], mask=keys["AFFS_MASK"], slab=(1, -1, -1, -1)
        )
    )  # fmt: skip
    request = gp.BatchRequest()
    inner = gp.Roi((0, 0, 0), [n - 9 for n in labels.shape])
    for name in ("AFFS", "SCALE"):
        request[keys[name]] = gp.ArraySpec(roi=inner)
    build = gp.build(pipeline)
    build.__enter__()
    return lambda: pipeline.request_batch(request)


def lsds(labels: np.ndarray) -> Callable[[], Any]:
    from lsd.train.local_shape_descriptor import get_local_shape_descriptors

    return lambda: get_local_shape_descriptors(labels, (8.0,) * 3, voxel_size=(1, 1, 1))


def mutex(weights: np.ndarray, strides: np.ndarray) -> Callable[[], Any]:
    import mwatershed

    given = weights.astype(np.float64)
    return lambda: mwatershed.agglom(given, OFFSETS, strides=strides.tolist())


JOBS = {"affinities": affinities, "lsds": lsds, "mutex": mutex}


def main() -> None:
    out = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        with np.load(asked["file"]) as arrays:
            function = JOBS[asked["job"]](**{k: arrays[k] for k in arrays.files})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if isinstance(result, np.ndarray) and "result" in asked:
            np.save(asked["result"], result)
        answer = {"seconds": seconds, "grown_mib": (peak - before) / 1024}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
