"""Write arrays: HDF5 datasets, zarr arrays and OME-Zarr images with pyramids and labels.

Voxels are copied block by block, so an array may be larger than memory. The output gets its final
name only when it is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from funlib.geometry import Coordinate, Roi

from dacapo.arrays import views
from dacapo.arrays.array import Array
from dacapo.arrays.kept import BlockLog
from dacapo.arrays.open import HDF5_SUFFIXES
from dacapo.arrays.resample import resample
from dacapo.arrays.units import from_world, is_pixel
from dacapo.errors import InputError
from dacapo.processes.files import make_folder, temporary_name, writing

_OME_UNITS = {"nm": "nanometer", "um": "micrometer", "µm": "micrometer", "mm": "millimeter",
              "pm": "picometer", "m": "meter"}  # fmt: skip
_MIN_EDGE = 128
"""Voxels along the edge of the blocks that are copied, unless chunks are larger."""
FORMATS: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3}
"""The version of zarr of each version of OME-Zarr."""


def write_array(
    uri: str, array: Array, *, zarr_format: int = 3, chunk: int = 64, shard: int | None = None
) -> None:
    """Write `file.h5:dataset` or a zarr array, with voxel size, offset and unit as attributes.

    Args:
        zarr_format: 2 or 3.
        chunk, shard: edges in voxels; shards are of zarr 3.

    Raises:
        InputError: the output exists already.
    """
    file, colon, dataset = uri.rpartition(":")
    if colon and Path(file).suffix.lower() in HDF5_SUFFIXES:
        _write_hdf5(Path(file), dataset, array, chunk)
        return
    with _new_folder(Path(uri)) as folder:
        target = create_array(folder, array, chunk, shard, zarr_format)
        target.attrs.update(_attributes(array))
        copy_blocks(array, target, _copied(shard or chunk))


def write_ome_zarr(
    path: str | Path,
    image: Array,
    *,
    labels: Mapping[str, Array] | None = None,
    is_labels: bool = False,
    version: str = "0.4",
    levels: int | None = None,
    chunk: int = 64,
    shard: int | None = None,
) -> None:
    """Write an OME-Zarr image with its pyramid, and labels with theirs.

    Args:
        labels: name -> label volume, written below `labels/`.
        is_labels: the image holds ids, of which coarser levels take the nearest, not the mean.
        version: 0.4 (zarr 2) or 0.5 (zarr 3).
        levels: number of pyramid levels (default: until a level fits into one chunk).
        chunk, shard: edges in voxels; shards are of 0.5.

    Raises:
        InputError: the output exists already, the version is unknown, or an array has several
            channel axes, of which OME-Zarr allows one.
    """
    with _new_folder(Path(path)) as folder:
        fill_ome_zarr(
            folder, image, labels=labels, is_labels=is_labels, version=version, levels=levels,
            chunk=chunk, shard=shard,
        )  # fmt: skip


def fill_ome_zarr(
    folder: Path,
    image: Array,
    *,
    labels: Mapping[str, Array] | None = None,
    is_labels: bool = False,
    version: str = "0.4",
    levels: int | None = None,
    chunk: int = 64,
    shard: int | None = None,
    blocks: BlockLog | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Array:
    """Like `write_ome_zarr`, in a folder that is there; returns the finest level as written.

    Args:
        blocks: knows which blocks are written already.
        attributes: further ones of the group.
    """
    import zarr

    if version not in FORMATS:
        raise InputError(f"version={version}: choose from {', '.join(FORMATS)}")
    for array in (image, *labels.values()) if labels else (image,):
        if len(array.channel_shape) > 1:
            raise InputError(
                f"{array.name}: OME-Zarr allows one channel axis, and the array has "
                f"{len(array.channel_shape)}, of shape {array.channel_shape}"
            )
    blocks = blocks or BlockLog()
    group = zarr.open_group(str(folder), mode="a", zarr_format=FORMATS[version])
    group.attrs.update(attributes or {})
    _write_pyramid(folder, group, image, not is_labels, version, levels, chunk, shard, {}, blocks)
    if labels:
        below = group.create_group("labels")
        _set(below, version, {"labels": list(labels)})
        for name, array in labels.items():
            more = {"image-label": {"source": {"image": "../../"}, "version": version}}
            _write_pyramid(
                folder / "labels" / name, below.create_group(name), array, False, version,
                levels, chunk, shard, more, blocks,
            )  # fmt: skip
    return _written(folder, 0, [image])


def write_tiff(path: Path, array: Array) -> None:
    """Write an OME-TIFF with the voxel size, plane by plane.

    Raises:
        InputError: the output exists already, or the array has what a TIFF cannot hold.
    """
    import tifffile

    if path.exists():
        raise InputError(f"{path} exists already")
    if any(array.offset):
        raise InputError(
            f"{path}: a TIFF does not hold the offset, {from_world(array.offset, array.unit)} "
            f"{array.unit}: leave it out with offset={[0] * array.dims}, or write an .ome.zarr"
        )
    if array.dtype.itemsize > 4 and array.dtype.kind in "iu":
        raise InputError(f"{path}: an OME-TIFF does not hold {array.dtype}: write an .ome.zarr")
    if len(array.channel_shape) > 1:
        raise InputError(f"{path}: a TIFF has one channel axis, {array.channel_shape} are several")
    axes = "C" * len(array.channel_shape) + "".join(array.axis_names).upper()
    metadata: dict[str, Any] = {"axes": axes}
    if not is_pixel(array.unit):
        sizes = zip(array.axis_names, from_world(array.voxel_size, array.unit), strict=True)
        for name, size in sizes:
            metadata[f"PhysicalSize{name.upper()}"] = size
            metadata[f"PhysicalSize{name.upper()}Unit"] = array.unit.replace("um", "µm")
    make_folder(path.parent)
    temporary = temporary_name(path)
    try:
        with writing(path):
            tifffile.imwrite(
                temporary, _planes(array), shape=array.source.shape, dtype=array.dtype, ome=True,
                metadata=metadata, bigtiff=array.nbytes > 2**31, photometric="minisblack",
            )  # fmt: skip
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _planes(array: Array) -> Iterator[np.ndarray[Any, Any]]:
    for channel in np.ndindex(*array.channel_shape):
        one = views.select(array, list(channel)) if channel else array
        layers = one.shape[0] if one.dims == 3 else 1
        for number in range(layers):
            begin, shape = list(one.offset), list(one.roi.shape)
            if one.dims == 3:
                begin[0], shape[0] = begin[0] + number * one.voxel_size[0], one.voxel_size[0]
            data = one.read(Roi(begin, shape))
            yield np.ascontiguousarray(data.reshape(data.shape[-2:]))


def pyramid(array: Array, interpolate: bool, levels: int | None, chunk: int) -> list[Array]:
    """Write the array, then levels of half the resolution along the axes with the smaller
    voxels."""
    made = [array]
    while len(made) < (levels or 16):
        last = made[-1]
        if levels is None and max(last.shape) <= chunk:
            break
        finest = min(last.voxel_size)
        size = Coordinate(2 * v if v < 2 * finest else v for v in last.voxel_size)
        if any(v > s for v, s in zip(size, last.roi.shape, strict=True)):
            break
        made.append(resample(last, size, interpolate))
    return made


def _write_pyramid(
    folder: Path, group: Any, array: Array, interpolate: bool, version: str,
    levels: int | None, chunk: int, shard: int | None, more: Mapping[str, Any], blocks: BlockLog,
) -> None:  # fmt: skip
    schema = _schema(version)
    channels = _channel_names(array)
    unit = None if is_pixel(array.unit) else _OME_UNITS.get(array.unit, array.unit)
    axes = [schema.ChannelAxis(name=c) for c in channels]
    axes += [schema.SpaceAxis(name=name.lstrip("-"), unit=unit) for name in array.axis_names]
    datasets = []
    made = pyramid(array, interpolate, levels, chunk)
    for number, level in enumerate(made):
        if number:  # from the previous level, as written
            before = _written(folder, number - 1, made)
            level = resample(before, level.voxel_size, interpolate)
        stored = _as_type(level, array.dtype)
        target = create_array(folder / str(number), stored, chunk, shard, FORMATS[version])
        edge = 0 if number else blocks.edge
        copy_blocks(stored, target, edge or _copied(shard or chunk), blocks, f"level {number}")
        size = from_world(level.voxel_size, array.unit)
        corner = from_world(level.offset, array.unit)
        ones: list[float] = [1.0] * len(channels)
        centre = [c + s / 2 for c, s in zip(corner, size, strict=True)]
        transforms = [
            schema.ScaleTransformation(scale=[*ones, *size]),
            schema.TranslationTransformation(translation=[*(0.0 * o for o in ones), *centre]),
        ]
        datasets.append(schema.Dataset(path=str(number), coordinateTransformations=transforms))
    name = folder.name.lstrip(".").split(".")[0]
    image = schema.Multiscale(name=name, axes=axes, datasets=datasets)
    plain = image.model_dump(mode="json", exclude_none=True)
    _set(group, version, {"multiscales": [plain], **more})


def _schema(version: str) -> Any:
    """The metadata classes of a version, which validate their input."""
    from yaozarrs import v04, v05

    return v04 if version == "0.4" else v05


def _written(folder: Path, number: int, made: Sequence[Array]) -> Array:
    from dataclasses import replace

    import zarr

    return replace(made[number], source=zarr.open_array(str(folder / str(number)), mode="r"))


def _as_type(array: Array, dtype: np.dtype[Any]) -> Array:
    """Cast to another type; means of integers are rounded."""
    if array.dtype == dtype:
        return array
    return views.each(array, np.rint if dtype.kind in "iu" else np.asarray, dtype)


def _set(group: Any, version: str, attributes: Mapping[str, Any]) -> None:
    if version == "0.5":
        attributes = {"ome": {"version": version, **attributes}}
    group.attrs.update(attributes)


def create_array(
    path: Path, array: Array, chunk: int, shard: int | None = None, zarr_format: int = 3
) -> Any:
    """An empty zarr array, or the unfinished one that is there; format 3 keeps a checksum of each
    chunk."""
    import zarr

    if any((path / file).exists() for file in ("zarr.json", ".zarray")):
        return zarr.open_array(str(path), mode="r+")
    if shard is not None and (zarr_format == 2 or shard % chunk):
        raise InputError(f"shard={shard} needs zarr 3 and must be a multiple of chunk={chunk}")
    num = len(array.channel_shape)
    spatial = [min(chunk, n) for n in array.shape] if shard is None else [chunk] * array.dims
    more: dict[str, Any] = {}
    if zarr_format == 3:
        from zarr.codecs import Crc32cCodec, ZstdCodec

        more["compressors"] = [ZstdCodec(level=3), Crc32cCodec()]
        names = [name.lstrip("-") for name in array.axis_names]
        more["dimension_names"] = [*_channel_names(array), *names]
        if shard is not None:
            more["shards"] = (*(1,) * num, *(shard,) * array.dims)
    else:
        more["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    return zarr.create_array(
        str(path),
        shape=array.source.shape,
        chunks=(*(1,) * num, *spatial),
        dtype=array.dtype.newbyteorder("="),
        zarr_format=zarr_format,  # type: ignore[arg-type]
        overwrite=True,  # what a process left that was killed before it wrote the metadata
        **more,
    )


def _channel_names(array: Array) -> list[str]:
    return [f"c{i}" if i else "c" for i in range(len(array.channel_shape))]


def _attributes(array: Array) -> dict[str, Any]:
    return {
        "voxel_size": from_world(array.voxel_size, array.unit),
        "offset": from_world(array.offset, array.unit),
        "units": [array.unit] * array.dims,
        "axis_names": [*("c^" for _ in array.channel_shape), *array.axis_names],
    }


def _copied(chunk: int) -> int:
    """The edge of the blocks that are copied, in whole chunks."""
    return max(chunk, _MIN_EDGE // chunk * chunk)


def copy_blocks(
    array: Array, target: Any, edge: int, blocks: BlockLog | None = None, name: str = ""
) -> None:
    """Copy block by block; while one is read, or computed, the one before is written.

    Args:
        target: a zarr array or an HDF5 dataset.
        edge: of a block, in voxels: whole chunks of the target.
        blocks: knows which blocks are there already, by this name of the target.
    """
    log = blocks or BlockLog()
    starts = block_starts(array.shape, edge)

    def write(start: tuple[int, ...], place: tuple[slice, ...], voxels: Any) -> None:
        target[(..., *place)] = voxels
        log.add(name, start)

    with ThreadPoolExecutor(1, "write") as pool:
        last: Future[None] | None = None
        for start in log.missing(name, starts):
            place, roi = block_at(array, start, edge)
            voxels = array.read(roi)
            if last is not None:
                last.result()
            last = pool.submit(write, start, place, voxels)
        if last is not None:
            last.result()


def block_starts(shape: Sequence[int], edge: int) -> list[tuple[int, ...]]:
    """The first voxel of each block of a volume."""
    return list(product(*(range(0, n, edge) for n in shape)))


def block_at(array: Array, start: Sequence[int], edge: int) -> tuple[tuple[slice, ...], Roi]:
    """The voxels of a block, and where it lies."""
    begin = Coordinate(start)
    shape = Coordinate(min(edge, n - s) for s, n in zip(start, array.shape, strict=True))
    roi = Roi(array.offset + begin * array.voxel_size, shape * array.voxel_size)
    return tuple(slice(b, b + s) for b, s in zip(begin, shape, strict=True)), roi


def _write_hdf5(file: Path, dataset: str, array: Array, chunk: int) -> None:
    """A dataset of a new or existing file, under a temporary name until it is complete."""
    import h5py

    if file.is_file():
        with h5py.File(file, "r") as handle:
            if dataset in handle:
                raise InputError(f"{file}:{dataset} exists already")
    with writing(file), h5py.File(file, "a") as handle:
        unfinished = f"{dataset}.unfinished"
        if unfinished in handle:
            del handle[unfinished]
        chunks = (*(1,) * len(array.channel_shape), *(min(chunk, n) for n in array.shape))
        target = handle.create_dataset(
            unfinished, array.source.shape, array.dtype, chunks=chunks, compression="gzip",
            compression_opts=1, fletcher32=True,
        )  # fmt: skip
        target.attrs.update(_attributes(array))
        copy_blocks(array, target, _copied(chunk))
        handle.move(unfinished, dataset)


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which gets its final name when it is complete."""
    if path.exists():
        raise InputError(f"{path} exists already")
    temporary = temporary_name(path)
    try:
        make_folder(path.parent)
        with writing(path):
            yield temporary
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
