"""Datasets of HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dacapo.arrays.metadata import BAD_METADATA, Metadata, attributes_metadata, known_axes
from dacapo.errors import InputError, did_you_mean
from dacapo.processes.files import missing_file

_SLOTS = 100_003  # a prime, about a hundred times the chunks that a cache holds


def open_hdf5(file: Path, dataset: str, name: str, cache_mib: int) -> tuple[h5py.Dataset, Metadata]:
    """A dataset, and its grid according to its attributes or those of the file."""
    handle = _open(file, name, rdcc_nbytes=cache_mib * 2**20, rdcc_nslots=_SLOTS)
    try:
        found = handle.get(dataset)
        if not isinstance(found, h5py.Dataset):
            known = list(_datasets(handle))
            raise InputError(
                f"{name}: no dataset {dataset!r}{did_you_mean(dataset, known)}\n"
                f"  the file has {', '.join(known)}"
            )
        if found.shape is None:
            raise InputError(f"{name}: the dataset is empty")
        _check_storage(found, name)
        attributes = {**_plain(handle.attrs), **_plain(found.attrs)}
    except (RuntimeError, OSError, KeyError) as error:  # h5py's, for a damaged file
        raise InputError(f"{name}: not a readable HDF5 file: {error}") from error
    metadata = attributes_metadata(attributes)
    if metadata.axis_names is None:
        _name_axes(metadata, attributes, len(found.shape))
    return found, metadata


def _name_axes(metadata: Metadata, attributes: Mapping[str, Any], num: int) -> None:
    """Name the axes by `axistags` (ilastik, vigra) or by the labels of HDF5's dimension scales."""
    if isinstance(tags := attributes.get("axistags"), str):
        try:
            names = [str(axis["key"]) for axis in json.loads(tags)["axes"]]
        except BAD_METADATA:
            metadata.problem = f"its axistags are {tags!r:.99}"
            return
        if len(names) != num:
            metadata.problem = f"its axistags name {len(names)} axes, {names}, of {num}"
            return
    else:
        labels = attributes.get("DIMENSION_LABELS")
        names = [str(label) for label in labels] if isinstance(labels, list) else []
    if len(names) == num and known_axes(names):
        metadata.axis_names = names


def list_datasets(file: Path, name: str) -> str:
    """The datasets of a file, to choose from."""
    with _open(file, name) as handle:
        return ", ".join(_datasets(handle))


def _check_storage(dataset: h5py.Dataset, name: str, depth: int = 8) -> None:
    """Refuse voxels that are bytes of any other file, and virtual ones whose source is missing.

    HDF5 would show any readable file as voxels, and fill a missing source with zeros.
    """
    if dataset.external:
        raise InputError(
            f"{name}: its voxels are the bytes of {dataset.external[0][0]}, which is not read: "
            f"copy the dataset into one file"
        )
    if not dataset.is_virtual:
        return
    sources = {(s.file_name, s.dset_name) for s in dataset.virtual_sources()}
    for file, source in sorted(sources):
        path = Path(dataset.file.filename).parent / file
        if "%b" in f"{file}{source}":
            raise InputError(f"{name}: its voxels are in a series of files, {path}, not supported")
        if depth == 0 or not (file == "." or path.is_file()):
            raise InputError(f"{name}: its voxels are in {path}, which is not there")
        with _open(path, name) if file != "." else nullcontext(dataset.file) as handle:
            found = handle.get(source)
            if not isinstance(found, h5py.Dataset):
                raise InputError(f"{name}: its voxels are in {path}:{source}, which is not there")
            _check_storage(found, name, depth - 1)


def _open(file: Path, name: str, **settings: int) -> h5py.File:
    if not file.is_file():
        raise InputError(f"{name}: {missing_file(file)}")
    try:
        return h5py.File(file, "r", **settings)
    except PermissionError as error:
        raise InputError(f"{name}: you may not read {file}") from error
    except OSError as error:
        reasons = {"truncated file": "it is cut short", "file signature": "it is of another kind"}
        reason = next((said for text, said in reasons.items() if text in str(error)), str(error))
        raise InputError(f"{name}: not a readable HDF5 file: {reason}") from error


def _datasets(handle: h5py.File) -> list[str]:
    names: list[str] = []
    handle.visititems(
        lambda key, node: names.append(key) if isinstance(node, h5py.Dataset) else None
    )
    return names or ["none"]


def _plain(attributes: h5py.AttributeManager) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in attributes.items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        if isinstance(plain, list):
            plain = [_text(v) if isinstance(v, bytes) else v for v in plain]
        out[key] = _text(plain) if isinstance(plain, bytes) else plain
    return out


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
