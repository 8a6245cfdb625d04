"""The metadata of Neuroglancer's precomputed volumes: nm, axes x, y, z and channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dacapo.arrays.formats.ome import Level
from dacapo.arrays.metadata import BAD_METADATA, Metadata
from dacapo.errors import InputError


def precomputed_levels(info: Mapping[str, Any], who: str) -> list[Level]:
    """The scales of an `info` file, finest first.

    Raises:
        InputError: the file lacks a required key.
    """
    try:
        levels = []
        for scale in info["scales"]:
            size = [float(r) for r in scale["resolution"]]
            begin = [float(o) for o in scale.get("voxel_offset", [0, 0, 0])]
            metadata = Metadata(
                voxel_size=size,
                offset=[b * s for b, s in zip(begin, size, strict=True)],
                unit=["nm"],
                axis_names=["x", "y", "z", "c"],
            )
            levels.append(Level(str(scale["key"]), metadata))
    except BAD_METADATA as error:
        raise InputError(
            f"{who}: info does not describe a precomputed volume: {error!r}"
        ) from error
    if not levels:
        raise InputError(f"{who}: info lists no scales")
    return levels
