"""Runs in the peers' environment: crops a second of one loader. `benchmarks/crops.py` starts it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch


def gunpowder(asked: dict[str, Any]) -> Iterator[object]:
    import gunpowder as gp

    raw, labels = gp.ArrayKey("RAW"), gp.ArrayKey("LABELS")
    sources = tuple(
        gp.ZarrSource(asked["path"], {key: name}, {key: gp.ArraySpec(interpolatable=smooth)})
        for key, name, smooth in ((raw, "raw", True), (labels, "labels", False))
    )
    pipeline = sources + gp.MergeProvider() + gp.RandomLocation()
    if asked["kind"] == "augmented":
        pipeline += gp.Normalize(raw)
        pipeline += gp.DeformAugment(
            control_point_spacing=gp.Coordinate((192,) * 3), jitter_sigma=gp.Coordinate((12,) * 3),
            rotate=True, spatial_dims=3, use_fast_points_transform=False,
        )  # fmt: skip
        pipeline += gp.SimpleAugment()
        pipeline += gp.IntensityAugment(raw, 0.8, 1.2, -0.15, 0.15)
    if asked["workers"]:
        pipeline += gp.PreCache(num_workers=asked["workers"], cache_size=4)
    request = gp.BatchRequest()
    for key in (raw, labels):
        request.add(key, gp.Coordinate((asked["crop"] * 8,) * 3))
    with gp.build(pipeline):
        while True:
            yield pipeline.request_batch(request)


def dacapo_toolbox(asked: dict[str, Any]) -> Iterator[object]:
    import dacapo_toolbox.dataset as toolbox
    from funlib.persistence import Array, open_ds

    class Typed(Array):  # type: ignore[misc]
        """The toolbox wants `types`, which no funlib.persistence beside zarr 2 has."""

        types: Any = None

        def __init__(self, *args: Any, types: Any = None, **more: Any) -> None:
            super().__init__(*args, **more)

    toolbox.Array = Typed

    more: dict[str, Any] = {}
    if asked["kind"] == "augmented":
        more = {
            "simple_augment_config": toolbox.SimpleAugmentConfig(p=1.0),
            "deform_augment_config": toolbox.DeformAugmentConfig(
                p=1.0, control_point_spacing=(24,) * 3, jitter_sigma=(1.5,) * 3,
                scale_interval=(1.0, 1.0), rotate=True,
            ),
            "transforms": {
                "raw": lambda x: (x.float() / 255) * (0.8 + 0.4 * torch.rand(1))
                + 0.3 * torch.rand(1) - 0.15
            },
        }  # fmt: skip
    opened = {name: open_ds(f"{asked['path']}/{name}") for name in ("raw", "labels")}
    dataset = toolbox.iterable_dataset(
        {n: Typed(a.data, voxel_size=a.voxel_size, offset=a.offset) for n, a in opened.items()},
        shapes=dict.fromkeys(("raw", "labels"), (asked["crop"],) * 3),
        interpolatable={"raw": True, "labels": False},
        **more,
    )
    if asked["workers"] == 0:
        return iter(dataset)
    return iter(torch.utils.data.DataLoader(dataset, num_workers=asked["workers"]))


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    crops = {"gunpowder": gunpowder, "dacapo-toolbox": dacapo_toolbox}[asked["loader"]](asked)
    for _ in range(2):
        next(crops)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < asked["seconds"]:
        next(crops)
        count += 1
    print(json.dumps({"rate": count / (time.perf_counter() - begin)}), flush=True)
    sys.stdout.flush()
    import os

    os._exit(0)  # forked workers of a loader may hang


if __name__ == "__main__":
    main()
