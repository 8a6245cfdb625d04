"""Runs in the peers' environment: training steps behind gunpowder. `benchmarks/train.py` starts it.

The nodes are those of the original DaCapo's trainer: deform and turn, mirror and transpose,
intensities, affinities, balance, and a cache of worker processes.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import gunpowder as gp
import torch

from dacapo.nn.geometry import UNetGeometry
from dacapo.nn.unet import UNet


def loader(asked: dict[str, Any], raw: Any, affs: Any, weights: Any) -> Any:
    labels = gp.ArrayKey("LABELS")
    size = gp.Coordinate((8,) * 3)
    path = asked["path"]
    sources = tuple(
        gp.ZarrSource(path, {key: name}, {key: gp.ArraySpec(interpolatable=smooth)})
        for key, name, smooth in ((raw, "raw", True), (labels, "labels", False))
    )
    pipeline = sources + gp.MergeProvider() + gp.RandomLocation() + gp.Normalize(raw)
    pipeline += gp.DeformAugment(
        control_point_spacing=size * 24, jitter_sigma=gp.Coordinate((12,) * 3),
        rotate=True, spatial_dims=3, use_fast_points_transform=False,
    )  # fmt: skip
    pipeline += gp.SimpleAugment()
    pipeline += gp.IntensityAugment(raw, 0.8, 1.2, -0.15, 0.15)
    pipeline += gp.AddAffinities(asked["neighborhood"], labels, affs, dtype="float32")
    pipeline += gp.BalanceLabels(affs, weights, slab=(1, -1, -1, -1))
    pipeline += gp.IntensityScaleShift(raw, 2, -1)
    if asked["workers"]:
        pipeline += gp.PreCache(num_workers=asked["workers"], cache_size=2 * asked["workers"])
    return pipeline


def main() -> None:
    asked = json.loads(sys.argv[2])
    device = torch.device(asked["device"])
    if device.type == "cpu":
        torch.set_num_threads(1)
    down = [[2, 2, 2]] * asked["levels"]
    two = [[3, 3, 3]] * 2
    low = asked["precision"] == "bf16"
    geometry = UNetGeometry(
        downsample=down, kernels_down=[two] * (asked["levels"] + 1),
        kernels_up=[two] * asked["levels"], same_padding=asked["same"],
    )  # fmt: skip
    unet = UNet(
        geometry, in_channels=1, num_fmaps=asked["num_fmaps"], inc_factor=asked["inc_factor"]
    )
    head = torch.nn.Conv3d(asked["num_fmaps"], len(asked["neighborhood"]), 1)
    layout = torch.channels_last_3d if low else torch.contiguous_format
    model = torch.nn.Sequential(unet, head).to(device).to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    raw, affs, weights = (gp.ArrayKey(n) for n in ("RAW", "AFFS", "WEIGHTS"))
    request = gp.BatchRequest()
    request.add(raw, gp.Coordinate((asked["input"] * 8,) * 3))
    for key in (affs, weights):
        request.add(key, gp.Coordinate((asked["output"] * 8,) * 3))

    pipeline = loader(asked, raw, affs, weights)
    waited = 0.0

    def step() -> None:
        nonlocal waited
        begin = time.perf_counter()
        batch = pipeline.request_batch(request)
        waited += time.perf_counter() - begin
        x, y, w = (torch.from_numpy(batch[k].data.copy()).to(device) for k in (raw, affs, weights))
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            logits = model(x[None, None].to(memory_format=layout)).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, y[None], w[None], reduction="sum"
        ) / w.sum().clamp_min(1e-12)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        loss.item()

    with gp.build(pipeline):
        for _ in range(asked["warm_up"]):
            step()
        waited, begin, count = 0.0, time.perf_counter(), 0
        while time.perf_counter() - begin < asked["seconds"]:
            step()
            count += 1
        whole = time.perf_counter() - begin
        status = Path("/proc/self/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        memory = int(peak[1]) / 1024 if peak else float("nan")
        if device.type == "cuda":
            memory = torch.cuda.max_memory_allocated() / 2**20
        print(json.dumps({"rate": count / whole, "waited": waited / whole, "memory": memory}))
        sys.stdout.flush()
        os._exit(0)  # forked workers of a loader may hang


if __name__ == "__main__":
    main()
