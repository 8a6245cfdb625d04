"""Reading files: the right voxels in the right place, or one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from funlib.geometry import Roi

from dacapo.arrays import open_array
from dacapo.errors import InputError
from tests.conftest import data_file, write_hdf5

DATA = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)


def test_hdf5(tmp_path: Path) -> None:
    file = write_hdf5(
        tmp_path / "a.h5", {"raw": DATA}, voxel_size=[40, 4.6, 4.6], offset=[80, 0, 9.2], units="nm"
    )
    array = open_array(f"{file}:raw")
    assert array.voxel_size == (40000, 4600, 4600)
    assert array.offset == (80000, 0, 9200)
    assert array.unit == "nm"
    assert np.array_equal(array.read(array.roi), DATA)


def test_attributes_of_the_file_serve_where_the_dataset_has_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs.update({"voxel_size": [2.0, 1.0, 1.0], "units": "um"})
        file["g/raw"] = DATA
    assert open_array(f"{tmp_path}/a.h5:g/raw").voxel_size == (2 * 10**6, 10**6, 10**6)


def test_what_a_person_gives_beats_the_file(tmp_path: Path) -> None:
    file = write_hdf5(tmp_path / "a.h5", {"raw": DATA}, voxel_size=[1, 1, 1], units="nm")
    array = open_array(f"{file}:raw", voxel_size=[5, 5, 5], offset=[10, 0, 0], unit="um")
    assert array.voxel_size == (5 * 10**6,) * 3
    assert array.offset == (10**7, 0, 0)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(tmp_path: Path, version: Any) -> None:
    store = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    array = store.create_array("raw", data=DATA)
    array.attrs.update({"voxel_size": [4, 2, 2], "offset": [1, 0, 0], "units": ["nm"] * 3})
    opened = open_array(f"{tmp_path}/a.zarr/raw")
    assert opened.voxel_size == (4000, 2000, 2000)
    assert opened.offset == (1000, 0, 0)
    assert np.array_equal(opened.read(opened.roi), DATA)


def ome(path: Path, version: str, transforms: list[Any], extra: Any = None) -> None:
    """An OME-Zarr image of two levels."""
    fmt: Any = 2 if version == "0.4" else 3
    group = zarr.open_group(str(path), mode="w", zarr_format=fmt)
    group.create_array("0", data=DATA)
    group.create_array("1", data=DATA[:, ::2, ::2])
    image = {
        "version": version,
        "axes": [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"],
        "datasets": [
            {"path": str(level), "coordinateTransformations": t}
            for level, t in enumerate(transforms)
        ],
        **(extra or {}),
    }
    attributes = {"multiscales": [image]}
    group.attrs.update(attributes if version == "0.4" else {"ome": attributes})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_translation_is_the_centre_of_the_first_voxel(
    tmp_path: Path, version: str
) -> None:
    fine = [{"type": "scale", "scale": [40, 4.6, 4.6]},
            {"type": "translation", "translation": [20, 2.3, 2.3]}]  # fmt: skip
    coarse = [{"type": "scale", "scale": [40, 9.2, 9.2]},
              {"type": "translation", "translation": [20, 4.6, 4.6]}]  # fmt: skip
    ome(tmp_path / "a.zarr", version, [fine, coarse])
    image = open_array(f"{tmp_path}/a.zarr")
    assert image.voxel_size == (40000, 4600, 4600)
    assert image.offset == (0, 0, 0)
    level = open_array(f"{tmp_path}/a.zarr/1")
    assert level.voxel_size == (40000, 9200, 9200)
    assert level.offset == (0, 0, 0)


def test_levels_without_translation_share_their_corner(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ome(tmp_path / "a.zarr", "0.4", [[{"type": "scale", "scale": [4, 4, 4]}],
                                     [{"type": "scale", "scale": [4, 8, 8]}]])  # fmt: skip
    assert open_array(f"{tmp_path}/a.zarr").offset == (-2000,) * 3  # centred on 0
    assert not caplog.records
    assert open_array(f"{tmp_path}/a.zarr/1").offset == (-2000,) * 3
    assert "share its corner" in caplog.text


def test_transforms_of_the_image_apply_after_those_of_the_level(tmp_path: Path) -> None:
    outer = {"coordinateTransformations": [{"type": "scale", "scale": [2, 2, 2]}]}
    fine = [{"type": "scale", "scale": [4, 4, 4]}, {"type": "translation", "translation": [2] * 3}]
    ome(tmp_path / "a.zarr", "0.4", [fine, fine], outer)
    array = open_array(f"{tmp_path}/a.zarr")
    assert array.voxel_size == (8000,) * 3
    assert array.offset == (0, 0, 0)  # the centre of the first voxel lies at 4 nm


def truncated(path: Path) -> str:
    file = write_hdf5(path, {"raw": DATA}, voxel_size=[1, 1, 1])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return f"{file}:raw"


class TestRefused:
    """Each names the key and the path."""

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ("none.h5:raw", r"raw=.*none.h5:raw: no file"),
            ("none.zarr/raw", r"raw=.*none.zarr/raw: there is no folder"),
            ("a.h5", r"no dataset given: write file.h5:dataset"),
            ("a.h5:nope", "no dataset 'nope'\n  the file has empty, flat, float, raw"),
            ("a.tif", "a.tif: no file"),
            ("a.txt", "no file .*a.txt"),
            ("a.h5:empty", "the array is empty"),
            ("a.h5:flat", "does not fit the shape"),
        ],
    )
    def test_paths(self, tmp_path: Path, where: str, message: str) -> None:
        arrays = {
            "raw": DATA,
            "empty": np.zeros((0, 3, 4)),
            "flat": np.zeros(3),
            "float": DATA / 2,
        }
        write_hdf5(tmp_path / "a.h5", arrays, voxel_size=[1, 1, 1], units="nm")
        with pytest.raises(InputError, match=message):
            open_array(f"{tmp_path}/{where}", key="raw")

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ({}, "gives no voxel size"),
            ({"voxel_size": [1, -1, 1]}, "must be positive"),
            ({"voxel_size": [1, 0, 1]}, "must be positive"),
            ({"voxel_size": 8.0}, "its voxel size is 8.0; set voxel_size, unit"),
            ({"voxel_size": [1, 1, 1], "units": "furlong"}, "unknown unit 'furlong'"),
            ({"voxel_size": [1, 1, 1], "offset": [0, 0]}, "differ in axes"),
            ({"voxel_size": [1.0005, 1, 1], "units": "pm"}, "not a whole multiple"),
            ({"voxel_size": [1, float("nan"), 1]}, "is not finite|must be positive"),
        ],
    )
    def test_metadata(self, tmp_path: Path, attributes: dict[str, Any], message: str) -> None:
        file = write_hdf5(tmp_path / "a.h5", {"raw": DATA}, **attributes)
        with pytest.raises(InputError, match=message):
            open_array(f"{file}:raw")

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not a readable HDF5 file"):
            open_array(truncated(tmp_path / "a.h5"))

    def test_a_group_is_no_array(self, tmp_path: Path) -> None:
        zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array("raw", data=DATA)
        with pytest.raises(InputError, match="a group, not an array; it holds raw"):
            open_array(f"{tmp_path}/a.zarr")

    def test_damaged_zarr_metadata(self, tmp_path: Path) -> None:
        zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array("raw", data=DATA)
        (tmp_path / "a.zarr" / "raw" / "zarr.json").write_text('{"zarr_format": 3')
        with pytest.raises(InputError, match=r"zarr.json in .* is not JSON"):
            open_array(f"{tmp_path}/a.zarr/raw")

    def test_incomplete_ome_metadata(self, tmp_path: Path) -> None:
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
        group.create_array("0", data=DATA)
        group.attrs["multiscales"] = [{"axes": ["z", "y", "x"], "datasets": [{"path": "0"}]}]
        with pytest.raises(InputError, match="incomplete OME-Zarr metadata"):
            open_array(f"{tmp_path}/a.zarr")


@pytest.mark.parametrize(
    ("name", "shape", "voxel_size"),
    [
        ("flyem_fibsem_ts2_dev.h5", (170, 250, 250), (10000, 10000, 10000)),
        ("gonuclear_1135.h5", (100, 100, 100), None),
        ("plantseg_ovule.h5", (32, 128, 128), None),
        ("plantcells_patch_dev.h5", (64, 120, 200), (250000, 162500, 162500)),
        ("wsu_chloroplast_dev.h5", (10, 1170, 1000), (40000, 20000, 20000)),
        ("dsb2018_nuclei2d_512.h5", (512, 512), None),
    ],
)
def test_real_volumes(name: str, shape: tuple[int, ...], voxel_size: Any) -> None:
    path = data_file(name)
    with h5py.File(path) as file:
        attributes = {**file.attrs, **file["raw"].attrs}
        expected = file["labels"][...]
    raw, labels = open_array(f"{path}:raw"), open_array(f"{path}:labels")
    assert raw.shape == labels.shape == shape
    world = [round(float(v) * 1000) for v in attributes["voxel_size"]]
    assert list(raw.voxel_size) == (list(voxel_size) if voxel_size else world)
    assert np.array_equal(labels.read(labels.roi), expected)
    assert raw.offset == labels.offset == (0,) * len(shape) == tuple(attributes["offset"])
    assert raw.unit == labels.unit == next(iter(attributes["units"]))
    assert raw.axis_names == tuple(attributes["axis_names"])


@pytest.mark.parametrize(
    "name",
    [
        "rat1_sample-data1",
        "rat3_sample-data9",
        "rat3_sample-data10",
        "rat3_sample-data11",
        "rat4_sample-data12",
        "rat7_sample-Maxo03img60",
    ],
)
def test_real_classes_have_their_names(name: str) -> None:
    labels = open_array(f"{data_file(f'axon_sem2d/sub-{name}.h5')}:labels")
    assert labels.class_names == {1: "axon", 2: "myelin"}
    assert labels.dims == 2
    assert set(np.unique(labels.read(labels.roi))) <= {0, 1, 2}


def test_real_ome_zarr_lies_in_the_volume_it_was_cut_from() -> None:
    whole = open_array(f"{data_file('flyem_fibsem_ts2_dev.h5')}:raw")
    path = data_file("flyem_fibsem_ts2_dev_crop.ome.zarr")
    crop, labels = open_array(str(path)), open_array(f"{path}/labels/neurons")
    assert crop.shape == labels.shape == (128, 192, 192)
    assert crop.voxel_size == labels.voxel_size == whole.voxel_size
    assert crop.roi == labels.roi
    half = open_array(f"{path}/1")
    assert half.voxel_size == crop.voxel_size * 2
    assert half.offset == crop.offset
    some = Roi(crop.offset, crop.voxel_size * 20)
    if whole.roi.contains(crop.roi):
        assert np.array_equal(whole.read(some), crop.read(some))


def test_json_metadata_of_a_real_store_is_what_we_think() -> None:
    path = data_file("flyem_fibsem_ts2_dev_crop.ome.zarr")
    assert "multiscales" in json.loads((path / ".zattrs").read_text())
