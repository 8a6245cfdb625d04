"""A folder of 2D images, one per section, in the order of their names."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from dacapo.arrays.array import full_index
from dacapo.arrays.metadata import Metadata
from dacapo.errors import InputError

_log = logging.getLogger(__name__)
_ALIKE = {".jpeg": ".jpg", ".tiff": ".tif"}
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
    found = (p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.name[0] != ".")
    files = sorted(found, key=_natural)
    if not files:
        raise InputError(
            f"{name}: the folder holds neither a zarr, N5 or precomputed volume nor images "
            f"({', '.join(_SUFFIXES)})"
        )
    if len({_ALIKE.get(p.suffix.lower(), p.suffix.lower()) for p in files}) > 1:
        raise InputError(f"{name}: the folder mixes {files[0].name} and other kinds of images")
    _check_names(files, name)
    sections = Sections(files, name, cache_mib)
    return sections, Metadata(axis_names=["z", "y", "x", "s^"][: len(sections.shape)])


def _check_names(files: Sequence[Path], name: str) -> None:
    """Refuse several kinds of images in one folder, such as raw and masks; warn of gaps."""
    patterns = {re.sub(r"\d+", "#", p.stem): p.name for p in reversed(files)}
    numbered = {pattern: file for pattern, file in patterns.items() if "#" in pattern}
    if len(numbered) > 1 and len(numbered) < len(files):
        raise InputError(
            f"{name}: the folder holds several series of images, such as "
            f"{' and '.join(sorted(numbered.values())[:2])}: give each a folder of its own"
        )
    several = [re.findall(r"\d+", p.stem) for p in files]
    if len({len(numbers) for numbers in several}) > 1:
        return
    varying = [at for at, values in enumerate(zip(*several, strict=True)) if len(set(values)) > 1]
    if len(varying) > 1:
        raise InputError(
            f"{name}: two numbers vary in the names of the images, from {files[0].name} to "
            f"{files[-1].name}: give each channel or series a folder of its own"
        )
    if len(varying) == 1 and len(several) > 2:
        numbers = [int(n[varying[0]]) for n in several]
        steps = {b - a for a, b in pairwise(numbers)}
        if len(steps) > 1:
            first = next(a for a, b in pairwise(numbers) if b - a != min(steps))
            _log.warning("%s: the numbers of the images have a gap after %d", name, first)


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


def _decoded(file: Path) -> np.ndarray[Any, Any]:
    """An image that is not a TIFF; the numbers of a palette are voxels, not its colours."""
    content = file.read_bytes()
    if not content:
        raise ValueError("the file is empty")
    suffix = file.suffix.lower()
    if suffix in (".jpg", ".jpeg") and b"\xff\xd9" not in content[-64:]:
        raise ValueError("the file is cut short: the end marker of JPEG is missing")
    if suffix == ".png" and content[25:26] == b"\x03":  # the colour type of the header
        from PIL import Image

        with Image.open(file) as image:
            numbers: np.ndarray[Any, Any] = np.asarray(image)
        return numbers
    decoded: np.ndarray[Any, Any] = np.asarray(imagecodecs.imread(file))
    if suffix == ".png" and content[24:26] == b"\x01\x00":  # one bit of grey
        decoded = (decoded != 0).astype(np.uint8)
    return decoded


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts section_9 before section_10."""
    return [(int(p), "") if p.isdigit() else (0, p) for p in re.split(r"(\d+)", path.name)]


def _read(file: Path, name: str) -> np.ndarray[Any, Any]:
    try:
        is_tiff = file.suffix.lower() in (".tif", ".tiff")
        image = _read_tiff(file) if is_tiff else _decoded(file)
    except (ValueError, OSError, LookupError, RuntimeError, NameError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: {file.name} is not a readable image: {reason:.200}") from error
    if image.ndim not in (2, 3):
        raise InputError(f"{name}: {file.name} has the shape {image.shape}, a section has 2 axes")
    return image
