"""What is written reads back, here and by others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import yaozarrs
from funlib.geometry import Coordinate

from dacapo.arrays import Array, open_array
from dacapo.arrays.write import write_array, write_ome_zarr
from dacapo.convert import main
from dacapo.errors import InputError

RNG = np.random.default_rng(0)
RAW = RNG.integers(0, 256, (20, 70, 90)).astype(np.uint8)
IDS = RNG.integers(2**62, 2**63, (20, 70, 90)).astype(np.uint64)
SIZE, OFFSET = Coordinate(40000, 4600, 4600), Coordinate(80000, 9200, 0)


def array(data: Any) -> Array:
    return Array(data, SIZE, OFFSET, "nm")


@pytest.mark.parametrize(
    ("where", "more"),
    [
        ("a.h5:raw", {}),
        ("a.zarr", {"zarr_format": 2, "chunk": 16}),
        ("a.zarr", {"zarr_format": 3, "chunk": 16}),
        ("a.zarr", {"zarr_format": 3, "chunk": 16, "shard": 32}),
    ],
)
@pytest.mark.parametrize("data", [RAW, IDS, np.stack([RAW, RAW // 2])], ids=["raw", "ids", "two"])
def test_arrays(tmp_path: Path, where: str, more: Any, data: Any) -> None:
    write_array(f"{tmp_path}/{where}", array(data), **more)
    opened = open_array(f"{tmp_path}/{where}")
    assert (opened.voxel_size, opened.offset, opened.unit) == (SIZE, OFFSET, "nm")
    assert opened.dtype == data.dtype
    assert np.array_equal(opened.read(opened.roi), data)
    assert [p.name for p in tmp_path.iterdir()] == [where.split(":")[0]]
    with pytest.raises(InputError, match="exists already"):
        write_array(f"{tmp_path}/{where}", array(data), **more)


@pytest.mark.parametrize(
    ("version", "more"), [("0.4", {}), ("0.5", {}), ("0.5", {"chunk": 16, "shard": 32})]
)
def test_ome_zarr(tmp_path: Path, version: str, more: Any) -> None:
    path = tmp_path / "a.ome.zarr"
    labels = {"cells": array(IDS)}
    write_ome_zarr(path, array(RAW), labels=labels, version=version, levels=3, **more)
    image, cells = open_array(str(path)), open_array(f"{path}/labels/cells")
    assert (image.voxel_size, image.offset) == (SIZE, OFFSET)
    assert np.array_equal(image.read(image.roi), RAW)
    assert np.array_equal(cells.read(cells.roi), IDS)
    half = open_array(str(path), level=[40, 9.2, 9.2])
    assert half.offset == OFFSET  # the corner is shared, exactly
    means = RAW.reshape(20, 35, 2, 45, 2).mean(axis=(2, 4))
    assert np.abs(half.read(half.roi) - means).max() <= 0.5
    coarse = open_array(f"{path}/labels/cells", level=[40, 18.4, 18.4])
    assert np.isin(coarse.read(coarse.roi), IDS).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_as_its_specification_has_it(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, array(np.stack([RAW, RAW])), labels={"cells": array(IDS)}, version=version)
    yaozarrs.validate_zarr_store(str(path))
    yaozarrs.validate_zarr_store(str(path / "labels" / "cells"))


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    write_array(f"{tmp_path}/a.zarr", array(RAW), chunk=128)
    chunk = next(p for p in (tmp_path / "a.zarr" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    opened = open_array(f"{tmp_path}/a.zarr")
    with pytest.raises(InputError, match="cannot be read"):
        opened.read(opened.roi)


def test_nothing_appears_before_it_is_whole(tmp_path: Path) -> None:
    class Broken:
        shape, dtype = RAW.shape, RAW.dtype

        def __getitem__(self, index: Any) -> Any:
            raise OSError("gone")

    with pytest.raises(InputError, match="gone"):
        write_ome_zarr(tmp_path / "a.zarr", array(Broken()))
    assert list(tmp_path.iterdir()) == []


def test_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAW)
    output = tmp_path / "a.ome.zarr"
    arguments = [f"image={tmp_path}/a.tif", f"output={output}", "voxel_size=[40,4.6,4.6]",
                 "unit=nm", "version=0.5"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["convert", *arguments])
    main()
    assert "[0.0, 0.0, 0.0] to [800.0, 322.0, 414.0] nm" in capsys.readouterr().out
    store = ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{output}/0/"}}, read=True
    ).result()
    assert np.array_equal(store.read().result(), RAW)


def test_ome_zarr_has_one_channel_axis(tmp_path: Path) -> None:
    two = array(np.zeros((2, 3, 4, 4, 4)))
    with pytest.raises(InputError, match=r"OME-Zarr allows one channel axis, and .* \(2, 3\)"):
        write_ome_zarr(tmp_path / "a.zarr", two)
    assert list(tmp_path.iterdir()) == []


def convert(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["convert", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_converting_keeps_the_direction_of_an_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A voxel is at the same place of the world before and after."""
    affine = np.diag([-2.0, 3, 4, 1])
    affine[:3, 3] = 32, -40, -16
    image = nibabel.Nifti1Image(RAW.T, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii")
    assert convert(monkeypatch, f"image={tmp_path}/a.nii", f"output={tmp_path}/a.ome.zarr") == 0
    assert "positions decrease along these axes: -x" in capsys.readouterr().out
    written = open_array(f"{tmp_path}/a.ome.zarr")
    assert written.axis_names == ("z", "y", "x")
    voxels = written.read(written.roi)
    for index in ((0, 0, 0), (5, 7, 3)):
        x, y, z = affine[:3] @ [*index, 1]
        place = [round(v * 10**9) for v in (z, y, x)]
        pairs = zip(place, written.offset, written.voxel_size, strict=True)
        assert voxels[tuple((p - o) // s for p, o, s in pairs)] == RAW.T[index]


@pytest.mark.parametrize("kind", ["", "kind=labels", "kind=image"])
def test_ids_are_not_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    ids = np.kron(np.random.default_rng(0).integers(1, 2**60, (8, 8, 8)), np.ones((9, 9, 9), int))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["labels"] = ids.astype(np.uint64)
    arguments = [f"image={tmp_path}/a.h5:labels", f"output={tmp_path}/a.zarr", "unit=nm",
                 "voxel_size=[1,1,1]", "levels=2", *filter(None, [kind])]  # fmt: skip
    assert convert(monkeypatch, *arguments) == 0
    coarse = open_array(f"{tmp_path}/a.zarr/1")
    invented = set(np.unique(coarse.read(coarse.roi))) - set(np.unique(ids))
    assert bool(invented) is (kind == "kind=image")


def test_an_image_is_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    padded = np.pad(RAW, 20, constant_values=255)
    for name, voxels in (("noise", RAW), ("padded", padded)):
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels)
        arguments = [f"image={tmp_path}/{name}.tif", f"output={tmp_path}/{name}.zarr"]
        assert convert(monkeypatch, *arguments, "voxel_size=[1,1,1]", "unit=nm") == 0
    assert capsys.readouterr().out.count("written as an image, with means") == 2


def test_labels_whose_middle_is_empty_are_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.zeros((160, 160, 160), np.uint16)
    labels[:40, :40, :40], labels[-40:, -40:, -40:], labels[:30, -30:] = 7, 301, 100
    mask = labels > 0
    for name, voxels in (("labels", labels), ("mask", mask.astype(np.uint8) * 255)):
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels)
        arguments = [f"image={tmp_path}/{name}.tif", f"output={tmp_path}/{name}.zarr"]
        assert convert(monkeypatch, *arguments, "voxel_size=[1,1,1]", "unit=nm") == 0
    assert capsys.readouterr().out.count("written as labels, with ids") == 2


def test_what_cannot_be_told_has_to_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 20, 20), 7, np.uint8))
    arguments = [f"image={tmp_path}/a.tif", f"output={tmp_path}/a.zarr", "voxel_size=[1,1,1]"]
    assert convert(monkeypatch, *arguments) == 1
    assert "set kind=labels or kind=image" in capsys.readouterr().err
    assert convert(monkeypatch, *arguments, "kind=image") == 0


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (6, 7), (2, 5, 6, 7)])
def test_converting_to_tiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, shape: tuple[int, ...]
) -> None:
    data = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    size = [40, 4.6, 4.7][-min(3, len(shape)) :]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = data
        file["raw"].attrs.update({"voxel_size": size, "units": "nm"})
    arguments = [f"image={tmp_path}/a.h5:raw", f"output={tmp_path}/b.tif"]
    if len(shape) == 4:
        arguments.append("axes=czyx")
    assert convert(monkeypatch, *arguments) == 0
    written = open_array(f"{tmp_path}/b.tif")
    assert np.array_equal(written.read(written.roi), data)
    assert written.voxel_size == tuple(round(1000 * s) for s in size)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["output={}/c.png"], "the name must end in .ome.zarr, or in .tif"),
        (["output={}/c.tif", "offset=[1,2,3]"], "a TIFF does not hold the offset, [1.0, 2.0, 3.0]"),
        (["output={}/c.tif", "labels={}/a.h5:raw"], "labels: a TIFF holds one volume"),
        (["output={}/a.h5"], "the name must end in"),
        (["output={}/c.tif", "image={}/a.h5:ids"], "an OME-TIFF does not hold uint64"),
    ],
)
def test_outputs_that_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"], file["ids"] = RAW, IDS
    arguments = [f"image={tmp_path}/a.h5:raw", "voxel_size=[1,1,1]", "unit=nm"]
    assert convert(monkeypatch, *arguments, *(a.format(tmp_path) for a in more)) == 1
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_time_point_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = np.stack([RAW, 255 - RAW])
    tifffile.imwrite(tmp_path / "a.tif", two, imagej=True, metadata={"axes": "TZYX", "unit": "um"})
    arguments = [f"image={tmp_path}/a.tif", f"output={tmp_path}/a.zarr", "time=1"]
    assert convert(monkeypatch, *arguments, "voxel_size=[1,1,1]", "unit=um") == 0
    written = open_array(f"{tmp_path}/a.zarr")
    assert np.array_equal(written.read(written.roi), 255 - RAW)
