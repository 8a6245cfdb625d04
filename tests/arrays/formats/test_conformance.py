"""Where each voxel lies, in every kind of file, against the format's own reader.

The voxels of a file are numbered. A reader of the format tells where each number lies; that fixes
voxels, order of the axes, voxel size, offset, unit and direction at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
import tensorstore as ts
import tifffile
import zarr

from dacapo.arrays import Array, open_array
from dacapo.arrays.units import from_world

SHAPE = (3, 4, 5)
DATA = np.arange(1, 61, dtype=np.uint16).reshape(SHAPE)
SIZE, OFFSET = (40.0, 4.6, 4.7), (80.0, -9.2, 14.1)
Places = dict[int, tuple[float, ...]]
"""Value -> the centre of its voxel in nm, in the order z, y, x."""
Written = tuple[Path | str, Places]

_NM = {"nm": 1, "um": 1e3, "µm": 1e3, "micron": 1e3, "mm": 1e6, "m": 1e9, "nanometer": 1,
       "micrometer": 1e3}  # fmt: skip


def places_of(array: Array) -> Places:
    """Where an opened array has its voxels."""
    voxels = array.read(array.roi)
    size, offset = from_world(array.voxel_size, "nm"), from_world(array.offset, "nm")
    signs = [-1 if name.startswith("-") else 1 for name in array.axis_names]
    assert [name.lstrip("-") for name in array.axis_names] == ["z", "y", "x"][-array.dims :]
    found = {}
    for index in np.ndindex(voxels.shape[-array.dims :]):
        (value,) = voxels.reshape(-1, *voxels.shape[-array.dims :])[:, *index]
        found[int(value)] = tuple(
            sign * (o + (i + 0.5) * s)
            for i, s, o, sign in zip(index, size, offset, signs, strict=True)
        )
    return found


def on_grid(data: Any, size: Any, first: Any, unit: str = "nm") -> Places:
    """Places on a grid along z, y, x, given the centre of the first voxel."""
    return {
        int(data[index]): tuple(
            (f + i * s) * _NM[unit] for i, s, f in zip(index, size, first, strict=True)
        )
        for index in np.ndindex(data.shape)
    }


def centres(size: Any, corner: Any = (0, 0, 0)) -> list[float]:
    """The centre of the first voxel, given its corner."""
    return [c + s / 2 for s, c in zip(size, corner, strict=True)]


def hdf5(folder: Path, unit: str, order: str) -> Written:
    path = folder / "a.h5"
    axes = ["zyx".index(axis) for axis in order]
    with h5py.File(path, "w") as file:
        made = file.create_dataset("raw", data=DATA.transpose(axes))
        made.attrs["voxel_size"] = [SIZE[a] for a in axes]
        made.attrs["offset"] = [OFFSET[a] for a in axes]
        made.attrs["units"], made.attrs["axis_names"] = unit, list(order)
    with h5py.File(path) as file:
        read = file["raw"]
        names = list(read.attrs["axis_names"])
        back = [names.index(axis) for axis in "zyx"]
        size, offset = read.attrs["voxel_size"][back], read.attrs["offset"][back]
        return f"{path}:raw", on_grid(
            read[:].transpose(back), size, centres(size, offset), read.attrs["units"]
        )


def hdf5_scales(folder: Path) -> Written:
    """The sizes of HDF5's dimension scales, as ImageJ's plugins write them."""
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("raw", data=DATA)
        made.attrs["element_size_um"] = [s / 1e3 for s in SIZE]
    with h5py.File(path) as file:
        size = file["raw"].attrs["element_size_um"]
        return f"{path}:raw", on_grid(file["raw"][:], size, centres(size), "um")


def tiff_imagej(folder: Path, unit: str) -> Written:
    path = folder / "a.tif"
    scale = _NM[unit.replace("\\u00B5m", "um")]
    z, y, x = (s / scale for s in SIZE)
    tifffile.imwrite(
        path, DATA, imagej=True, resolution=(1 / x, 1 / y),
        metadata={"axes": "ZYX", "spacing": z, "unit": unit},
    )  # fmt: skip
    with tifffile.TiffFile(path) as file:
        tags, notes = file.pages[0].tags, file.imagej_metadata
        assert notes is not None
        across = [tags[f"{a}Resolution"].value[1] / tags[f"{a}Resolution"].value[0] for a in "YX"]
        size = [notes["spacing"], *across]
        known = str(notes["unit"]).replace("\\u00B5m", "um").replace("µm", "um")
        return path, on_grid(file.asarray(), size, centres(size), known)


def tiff_ome(folder: Path, unit: str, axes: str) -> Written:
    path = folder / "a.ome.tif"
    scale = _NM[unit]
    sizes = {f"PhysicalSize{a}": s / scale for a, s in zip("ZYX", SIZE, strict=True)}
    units = {f"PhysicalSize{a}Unit": unit for a in "ZYX"}
    tifffile.imwrite(path, DATA, metadata={"axes": "ZYX", **sizes, **units})
    with tifffile.TiffFile(path) as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        size = [pixels[f"PhysicalSize{a}"] for a in "ZYX"]
        return path, on_grid(file.asarray(), size, centres(size), pixels["PhysicalSizeXUnit"])


def ome_zarr(folder: Path, version: str, unit: str) -> Written:
    path = folder / "a.ome.zarr"
    scale = [s / _NM[unit] for s in SIZE]
    centre = [o / _NM[unit] for o in OFFSET]
    is_new = version == "0.5"
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if is_new else 2)
    array = group.create_array("0", shape=SHAPE, chunks=(2, 2, 2), dtype="uint16")
    array[:] = DATA
    levels = [{
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": scale},
                                      {"type": "translation", "translation": centre}],
    }]  # fmt: skip
    axes = [{"name": a, "type": "space", "unit": unit} for a in "zyx"]
    image = {"version": version, "axes": axes, "datasets": levels}
    group.attrs.update({"ome": {"version": version, "multiscales": [image]}}
                       if is_new else {"multiscales": [image]})  # fmt: skip
    read = zarr.open_group(str(path), mode="r")
    notes: Any = read.attrs["ome"] if is_new else read.attrs
    (found,) = notes["multiscales"]
    (by_scale, by_shift) = found["datasets"][0]["coordinateTransformations"]
    voxels = np.asarray(read["0"][:])  # type: ignore[index]
    return path, on_grid(
        voxels, by_scale["scale"], by_shift["translation"], found["axes"][0]["unit"]
    )


def n5(folder: Path, attributes: dict[str, Any], unit: str) -> Written:
    path = folder / "a.n5" / "raw"
    spec: dict[str, Any] = {
        "driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": {"dimensions": SHAPE[::-1], "blockSize": [2, 2, 2], "dataType": "uint16",
                     "compression": {"type": "gzip"}},
    }  # fmt: skip
    ts.open(spec, create=True).result().write(DATA.T).result()
    file = path / "attributes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **attributes}))
    voxels = ts.open({k: spec[k] for k in ("driver", "kvstore")}).result().read().result().T
    notes = json.loads(file.read_text())
    size = notes.get("resolution") or notes["pixelResolution"]["dimensions"]
    return path, on_grid(voxels, size[::-1], centres(size[::-1]), unit)


def precomputed(folder: Path, voxel_offset: list[int]) -> Written:
    path = folder / "pre"
    kvstore = {"driver": "file", "path": f"{path}/"}
    store = ts.open(
        {
            "driver": "neuroglancer_precomputed", "kvstore": kvstore,
            "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
            "scale_metadata": {
                "resolution": SIZE[::-1], "size": SHAPE[::-1], "voxel_offset": voxel_offset,
                "chunk_size": [2, 2, 2], "encoding": "raw",
            },
        },
        create=True,
    ).result()  # fmt: skip
    store[..., 0].write(DATA.T).result()
    read = ts.open({"driver": "neuroglancer_precomputed", "kvstore": kvstore}).result()
    sizes = [unit.multiplier * _NM[unit.base_unit] for unit in read.dimension_units[:3]][::-1]
    begin = [o * s for o, s in zip(read.domain.origin[:3][::-1], sizes, strict=True)]
    return path, on_grid(read[..., 0].read().result().T, sizes, centres(sizes, begin))


def affines() -> Iterator[Any]:
    """Axes of the file along axes of the world in any order and direction."""
    for order, signs in product([(0, 1, 2), (2, 0, 1), (1, 0, 2)], [(1, 1, 1), (-1, 1, -1)]):
        affine = np.eye(4)
        affine[:3, :3] = 0
        for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
            affine[world, axis] = sign * SIZE[::-1][world] / 1e3
        affine[:3, 3] = [o / 1e3 for o in OFFSET[::-1]]
        yield affine


def nifti(folder: Path, affine: Any, unit: str) -> Written:
    path = folder / "a.nii.gz"
    image = nibabel.Nifti1Image(DATA.T, affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    read = nibabel.load(path)
    voxels = np.asarray(read.dataobj)  # type: ignore[attr-defined]
    scale = _NM[read.header.get_xyzt_units()[0]]  # type: ignore[no-untyped-call]
    found = {}
    for index in np.ndindex(voxels.shape):
        x, y, z = (read.affine @ [*index, 1])[:3] * scale
        found[int(voxels[index])] = (z, y, x)
    return path, found


def nrrd_file(folder: Path, affine: Any, space: str) -> Written:
    path = folder / "a.nrrd"
    header = {
        "space": space, "space directions": affine[:3, :3].T, "space origin": affine[:3, 3],
        "space units": ["mm"] * 3, "kinds": ["domain"] * 3,
    }  # fmt: skip
    nrrd.write(str(path), DATA.T, header)
    read = SimpleITK.ReadImage(str(path))
    found = {}
    for index in product(*map(range, read.GetSize())):
        left, posterior, z = read.TransformIndexToPhysicalPoint(index)
        found[int(read[index])] = (z * 1e6, -posterior * 1e6, -left * 1e6)
    return path, found


_VIEWER = {"pixelResolution": {"dimensions": SIZE[::-1], "unit": "nm"}}
KINDS: dict[str, Callable[[Path], Written]] = {
    **{f"hdf5 {u} {o}": lambda p, u=u, o=o: hdf5(p, u, o)
       for u in ("nm", "um") for o in ("zyx", "xyz", "yzx")},
    "hdf5 element_size_um": hdf5_scales,
    **{f"imagej {u}": lambda p, u=u: tiff_imagej(p, u)
       for u in ("nm", "um", "micron", "mm", r"\u00B5m")},
    **{f"ome-tiff {u}": lambda p, u=u: tiff_ome(p, u, "ZYX") for u in ("nm", "µm", "mm")},
    **{f"ome-zarr {v} {u}": lambda p, v=v, u=u: ome_zarr(p, v, u)
       for v in ("0.4", "0.5") for u in ("nanometer", "micrometer")},
    "n5 viewer": lambda p: n5(p, _VIEWER, "nm"),
    "n5 viewer um": lambda p: n5(
        p, {"pixelResolution": {"dimensions": SIZE[::-1], "unit": "um"}}, "um"
    ),
    "n5 resolution": lambda p: n5(
        p, {"resolution": SIZE[::-1], "units": ["nm"] * 3, "axes": ["x", "y", "z"]}, "nm"
    ),
    "precomputed": lambda p: precomputed(p, [0, 0, 0]),
    "precomputed moved": lambda p: precomputed(p, [10, -20, 30]),
    **{f"nifti {n} {u}": lambda p, a=a, u=u: nifti(p, a, u)
       for n, a in enumerate(affines()) for u in ("mm", "micron")},
    **{f"nrrd {n} {s}": lambda p, a=a, s=s: nrrd_file(p, a, s)
       for n, a in enumerate(affines())
       for s in ("left-posterior-superior", "right-anterior-superior")},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_voxel_lies_where_the_formats_own_reader_says(kind: str, tmp_path: Path) -> None:
    uri, expected = KINDS[kind](tmp_path)
    found = places_of(open_array(str(uri)))
    assert sorted(found) == sorted(expected) == list(range(1, 61))
    for value, place in expected.items():
        assert found[value] == pytest.approx(place, rel=1e-5, abs=1e-2), value
