"""Arrays of zarr stores, v2 and v3, plain or OME-Zarr."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from dacapo.errors import InputError

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from dacapo.arrays.open import Metadata


def open_zarr(path: Path, name: str) -> tuple[zarr.Array[Any], Metadata]:
    """An array, or the finest level of an OME-Zarr image, and the grid it lies on."""
    from dacapo.arrays.open import attributes_metadata

    node = _open(path, name)
    if isinstance(node, zarr.Group):
        levels = _multiscale(dict(node.attrs))
        if levels is None:
            inside = ", ".join(sorted(node.keys())) or "nothing"
            raise InputError(f"{name}: a zarr group, not an array; it holds {inside}")
        level = levels["datasets"][0]["path"]
        return _level(_open(path / level, name), levels, level, name)
    levels = _parent_multiscale(path)
    if levels is not None:
        return _level(node, levels, path.name, name)
    return node, attributes_metadata(dict(node.attrs))


def _open(path: Path, name: str) -> zarr.Array[Any] | zarr.Group:
    if not path.exists():
        raise InputError(f"{name}: no such file or folder: {path}")
    try:
        return zarr.open(str(path), mode="r")
    except (zarr.errors.BaseZarrError, FileNotFoundError, ValueError, KeyError) as error:
        raise InputError(f"{name}: not a readable zarr array or group: {error}") from error


def _parent_multiscale(path: Path) -> dict[str, Any] | None:
    parent = path.parent
    if not any((parent / f).exists() for f in (".zgroup", "zarr.json")):
        return None
    group = zarr.open(str(parent), mode="r")
    levels = _multiscale(dict(group.attrs)) if isinstance(group, zarr.Group) else None
    known = [] if levels is None else [d["path"] for d in levels["datasets"]]
    return levels if path.name in known else None


def _multiscale(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The first image of OME-Zarr 0.4 (top level) or 0.5 (under `ome`) attributes."""
    images = attributes.get("ome", attributes).get("multiscales")
    return images[0] if images else None


def _level(
    array: zarr.Array[Any] | zarr.Group, image: dict[str, Any], level: str, name: str
) -> tuple[zarr.Array[Any], Metadata]:
    from dacapo.arrays.open import Metadata

    if not isinstance(array, zarr.Array):
        raise InputError(f"{name}: OME-Zarr level {level!r} is no array")
    try:
        axes = [a if isinstance(a, dict) else {"name": a} for a in image["axes"]]
        levels = {str(d["path"]): d["coordinateTransformations"] for d in image["datasets"]}
        outer = image.get("coordinateTransformations", [])
        scale, translation = _transform(len(axes), [*levels[level], *outer])
        finest, origin = _transform(len(axes), [*next(iter(levels.values())), *outer])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name}: incomplete OME-Zarr metadata: {error!r}") from error
    if scale != finest and not any(t["type"] == "translation" for t in levels[level]):
        translation = [o + (s - f) / 2 for o, s, f in zip(origin, scale, finest, strict=True)]
        _log.warning("%s: gives no translation; taken to share its corner with the finest", name)
    spatial = [i for i, axis in enumerate(axes) if axis.get("type", "space") == "space"]
    if spatial != list(range(len(axes) - len(spatial), len(axes))):
        names = [axis["name"] for axis in axes]
        raise InputError(f"{name}: the spatial axes must come last, found {names}")
    return array, Metadata(
        voxel_size=[scale[i] for i in spatial],
        offset=[translation[i] for i in spatial],
        unit=[axes[i].get("unit", "pixel") for i in spatial],
        axis_names=[axes[i]["name"] for i in spatial],
        centred=True,
    )


def _transform(
    num_axes: int, transforms: Sequence[dict[str, Any]]
) -> tuple[list[float], list[float]]:
    """Scale and translation of several transformations one after the other."""
    scale, translation = [1.0] * num_axes, [0.0] * num_axes
    for transform in transforms:
        if transform["type"] == "scale":
            factor = transform["scale"]
            scale = [s * f for s, f in zip(scale, factor, strict=True)]
            translation = [t * f for t, f in zip(translation, factor, strict=True)]
        elif transform["type"] == "translation":
            shift = transform["translation"]
            translation = [t + s for t, s in zip(translation, shift, strict=True)]
    return scale, translation
