"""Snapshots of a batch with its targets, weights and prediction, as OME-Zarr images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dacapo.arrays.array import Array
from dacapo.arrays.write import write_ome_zarr
from dacapo.experiments.run import Run


def write_snapshot(path: Path, volumes: Mapping[str, np.ndarray[Any, Any]], run: Run) -> None:
    """Write aligned images.

    Args:
        volumes: name -> (C, *spatial); `raw` has the shape of the input, all others of the output.
    """
    shape, gt = run.sample_shape, run.datasplit.train[0].gt
    for name, volume in volumes.items():
        is_input = name == "raw"
        voxel_size = shape.input_voxel_size if is_input else shape.output_voxel_size
        corner = voxel_size * 0 if is_input else shape.context
        image = Array(volume, voxel_size, corner, gt.unit, gt.axis_names, name)
        target = path / f"{name}.ome.zarr"
        if not target.exists():  # left by an earlier process that reached this iteration
            write_ome_zarr(target, image, levels=1)
