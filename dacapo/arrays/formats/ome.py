"""The metadata of OME-Zarr images (0.1 to 0.5): the levels of a pyramid, finest first."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dacapo.arrays.metadata import BAD_METADATA, Metadata
from dacapo.errors import InputError

_log = logging.getLogger(__name__)
_OLD = ("0.1", "0.2", "0.3")


@dataclass(frozen=True)
class Level:
    """One level of an image: its path below the image, its grid, and what had to be guessed."""

    path: str
    metadata: Metadata
    guess: str = ""

    def report(self, who: str) -> None:
        """Log what had to be guessed."""
        if self.guess:
            _log.warning("%s: level %s %s", who, self.path, self.guess)


def ome_levels(attributes: Mapping[str, Any], who: str) -> list[Level] | None:
    """The levels of the first image that a group's attributes describe; None: it is not an image.

    Raises:
        InputError: the attributes contradict OME-Zarr.
    """
    described = attributes.get("ome", attributes)
    if not isinstance(described, Mapping):
        raise InputError(f"{who}: incomplete OME-Zarr metadata: ome is {described!r}")
    images = described.get("multiscales")
    if not images:
        return None
    try:
        return _levels(images[0])
    except BAD_METADATA as error:
        raise InputError(f"{who}: incomplete OME-Zarr metadata: {error!r}") from error


def _levels(image: Mapping[str, Any]) -> list[Level]:
    version = str(image.get("version"))
    if version in _OLD or ("version" not in image and "axes" not in image):
        return _old_levels(image, version)
    if "axes" not in image:
        raise ValueError(f"version {version} is not supported: 0.1 to 0.5 are")
    axes = [a if isinstance(a, dict) else {"name": a} for a in image["axes"]]
    types = [str(a.get("type", _type_of(a["name"]))) for a in axes]
    spatial = [i for i, kind in enumerate(types) if kind == "space"]
    names = [
        str(a["name"]) if t == "space" else f"{a['name']}^" if t == "channel" else "t"
        for a, t in zip(axes, types, strict=True)
    ]
    outer = image.get("coordinateTransformations", [])
    inner = [d["coordinateTransformations"] for d in image["datasets"]]
    finest, origin = min(_transform(len(axes), [*own, *outer]) for own in inner)
    levels = []
    for dataset, transforms in zip(image["datasets"], inner, strict=True):
        scale, translation = _transform(len(axes), [*transforms, *outer])
        guess = ""
        if scale != finest and not any(t["type"] == "translation" for t in transforms):
            translation = [o + (s - f) / 2 for o, s, f in zip(origin, scale, finest, strict=True)]
            guess = "gives no translation; it is assumed to share its corner with the finest level"
        metadata = Metadata(
            voxel_size=[scale[i] for i in spatial],
            offset=[translation[i] for i in spatial],
            unit=[str(axes[i].get("unit", "pixel")) for i in spatial],
            axis_names=names,
            centred=True,
        )
        levels.append(Level(str(dataset["path"]), metadata, guess))
    return sorted(levels, key=lambda level: list(level.metadata.voxel_size or []))


def _old_levels(image: Mapping[str, Any], version: str) -> list[Level]:
    """Levels up to version 0.3, which has no sizes, and up to 0.2 no names of axes."""
    names = [str(name) for name in image["axes"]] if version == "0.3" else list("tczyx")
    return [Level(str(d["path"]), Metadata(axis_names=names)) for d in image["datasets"]]


def _type_of(name: str) -> str:
    """The unit of an axis that gives none."""
    return {"t": "time", "time": "time", "c": "channel", "channel": "channel"}.get(
        str(name).lower(), "space"
    )


def _transform(
    num_axes: int, transforms: Sequence[Mapping[str, Any]]
) -> tuple[list[float], list[float]]:
    """Scale and translation of several transformations in sequence."""
    scale, translation = [1.0] * num_axes, [0.0] * num_axes
    for transform in transforms:
        kind = transform["type"]
        if kind == "scale":
            factor = [float(f) for f in transform["scale"]]
            scale = [s * f for s, f in zip(scale, factor, strict=True)]
            translation = [t * f for t, f in zip(translation, factor, strict=True)]
        elif kind == "translation":
            shift = [float(s) for s in transform["translation"]]
            translation = [t + s for t, s in zip(translation, shift, strict=True)]
        elif kind != "identity":
            raise ValueError(f"coordinateTransformations of type {kind!r} are not supported")
    return scale, translation
