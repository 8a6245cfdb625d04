"""What is written reads back, here and by others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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
