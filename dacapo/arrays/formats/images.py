"""A folder of 2D images, one per section, in the order of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from dacapo.arrays.array import full_index
from dacapo.arrays.metadata import Metadata
from dacapo.errors import InputError

_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".jp2", ".webp")


class Sections:
    """Images as one volume (z, y, x), with channels last if the images have channels.

    Each image is read when it is needed, and cached while there is room.
    """

    def __init__(self, files: Sequence[Path], name: str, cache_mib: int) -> None:
        self._files, self._name = files, name
        first = _read(files[0], name)
        self._section = first.shape
        self.shape = (len(files), *first.shape)
        self.dtype = first.dtype
        self._load = lru_cache(max(1, cache_mib * 2**20 // max(1, first.nbytes)))(self._checked)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        sections, *inner = full_index(index, self.shape)
        numbers = range(sections.start, sections.stop)
        return np.stack([self._load(number)[tuple(inner)] for number in numbers])

    def _checked(self, number: int) -> np.ndarray[Any, Any]:
        image = _read(self._files[number], self._name)
        if image.shape != self._section or image.dtype != self.dtype:
            raise InputError(
                f"{self._name}: {self._files[number].name} has the shape {image.shape} and type "
                f"{image.dtype}, {self._files[0].name} has {self._section} and {self.dtype}"
            )
        return image


def open_images(folder: Path, name: str, cache_mib: int) -> tuple[Sections, Metadata]:
    """The images of a folder as a volume; images carry no voxel size."""
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES), key=_natural)
    if not files:
        raise InputError(
            f"{name}: the folder holds neither a zarr, N5 or precomputed volume nor images "
            f"({', '.join(_SUFFIXES)})"
        )
    if len({p.suffix.lower() for p in files}) > 1:
        raise InputError(f"{name}: the folder mixes {files[0].name} and other kinds of images")
    sections = Sections(files, name, cache_mib)
    return sections, Metadata(axis_names=["z", "y", "x", "s^"][: len(sections.shape)])


def _read_tiff(file: Path) -> np.ndarray[Any, Any]:
    import tifffile

    with tifffile.TiffFile(file) as opened:
        series = opened.series[0]
        if set(series.axes) - set("YXS"):
            raise ValueError(
                f"it is a stack with the axes {series.axes} and the shape {series.shape}, not one "
                f"section: open it by itself"
            )
        return np.asarray(series.asarray())


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts section_9 before section_10."""
    return [(int(p), "") if p.isdigit() else (0, p) for p in re.split(r"(\d+)", path.name)]


def _read(file: Path, name: str) -> np.ndarray[Any, Any]:
    try:
        if file.suffix.lower() in (".tif", ".tiff"):
            image = _read_tiff(file)
        else:
            image = np.asarray(imagecodecs.imread(file))
    except (ValueError, OSError, LookupError, RuntimeError) as error:
        raise InputError(f"{name}: {file.name} is not a readable image: {error}") from error
    if image.ndim not in (2, 3):
        raise InputError(f"{name}: {file.name} has the shape {image.shape}, a section has 2 axes")
    return image
