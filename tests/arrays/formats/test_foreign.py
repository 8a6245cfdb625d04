"""Files that other programs wrote, against what those programs or the format's own reader mean."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import nibabel
import nrrd
import numcodecs
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from PIL import Image

from dacapo.arrays import Array, open_array
from dacapo.arrays.views import upright
from dacapo.errors import InputError
from dacapo.experiments.datasplits.regions import RegionsDataSplitConfig
from tests.conftest import DATA as REAL

FOREIGN = REAL / "foreign"
DATA = np.random.default_rng(0).integers(1, 60000, (5, 6, 7)).astype(np.uint16)
UM, MM = 10**6, 10**9


def whole(array: Array) -> np.ndarray[Any, Any]:
    return array.read(array.roi)


def nifti(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Row:
    """What a file holds, in world units and in the order z, y, x.

    Attributes:
        voxels: as the format's own reader gives them, in that order.
        more: what has to be given, as the file does not say it.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    size: tuple[int, ...]
    offset: tuple[int, ...]
    voxels: Callable[[Path], Any]
    more: dict[str, Any]


def ilastik(path: Path) -> Any:
    with h5py.File(path) as file:
        return file["exported_data"][1].transpose(3, 0, 1, 2)


def n5(path: Path) -> Any:
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path.resolve()}/"}}
    return ts.open(spec, read=True).result().read().result().T


ROWS = {
    "ilastik_tyx.h5:simple": Row(
        (20, 30), ("y", "x"), (2 * UM, UM), (0, 0), lambda p: h5py.File(p)["simple"][2],
        {"voxel_size": [2, 1], "unit": "um", "time": 2},
    ),
    "ilastik_tzyxc.h5:exported_data": Row(
        (1, 33, 77, 45), ("z", "y", "x"), (3 * UM, 2 * UM, UM), (0, 0, 0), ilastik,
        {"voxel_size": [3, 2, 1], "unit": "um", "time": 1},
    ),
    "hdf5_element_size_um.h5:raw": Row(
        (32, 128, 128), ("z", "y", "x"), (235000, 150000, 150000), (0, 0, 0),
        lambda p: h5py.File(p)["raw"][:], {},
    ),
    "imagej_units.tif": Row(
        (5, 16, 16), ("z", "y", "x"), (2, 6000024000, 110000110000), (0, 0, 0),
        tifffile.imread, {},
    ),
    "imagej_micro_sign.tif": Row(
        (16, 16), ("y", "x"), (3, 50 * UM), (0, 0), lambda p: tifffile.imread(p)[3], {"time": 3},
    ),
    "imagej_time_series.tif": Row(
        (5, 16, 16), ("z", "y", "x"), (7 * MM, 5 * MM, 3000003000), (0, 0, 0),
        lambda p: tifffile.imread(p)[1], {"time": 1},
    ),
    "n5_viewer_multiscale": Row(
        (20, 10), ("y", "x"), (20000, 10000), (0, 0), lambda p: n5(p / "s0"), {"unit": "nm"},
    ),
    "n5_viewer_multiscale/s1": Row(
        (10, 5), ("y", "x"), (40000, 20000), (0, 0), n5, {"unit": "nm"},
    ),
    "nifti_minus_x.nii": Row(
        (25, 41, 33), ("z", "y", "-x"), (2 * MM,) * 3, (-17 * MM, -41 * MM, -33 * MM),
        lambda p: nifti(p).T, {},
    ),
    "nifti_permuted_axes.nii.gz": Row(
        (266, 266, 190), ("-z", "-y", "-x"), (941170335, 938250959, 1204054713),
        (-96805836022, -150703378409, -117193297803), nifti, {},
    ),
    "nrrd_no_units.nrrd": Row(
        (27, 27, 27), ("z", "y", "x"), (722656012,) * 3,
        (-10 * MM, -5778771400, -16463756561), lambda p: nrrd.read(str(p))[0].T, {},
    ),
    "nrrd_microns.nrrd": Row(
        (30, 40, 50), ("z", "y", "x"), (2 * UM, 400000, 400000), (0, 0, 0),
        lambda p: nrrd.read(str(p))[0].T, {},
    ),
    "zarr3_numcodecs_zlib.zarr": Row(
        (10, 10), ("y", "x"), (3 * UM, 2 * UM), (0, 0),
        lambda p: zarr.open_array(p, mode="r")[:], {"voxel_size": [3, 2], "unit": "um"},
    ),
    "ome_zarr_0.2": Row(
        (2, 1, 16, 16), ("z", "y", "x"), (3 * UM, 2 * UM, UM), (0, 0, 0),
        lambda p: zarr.open_array(p / "0", mode="r", zarr_format=2)[0],
        {"voxel_size": [3, 2, 1], "unit": "um"},
    ),
}  # fmt: skip


@pytest.mark.skipif(not FOREIGN.is_dir(), reason=f"needs the real files in {FOREIGN}")
@pytest.mark.parametrize("name", ROWS)
def test_a_file_of_another_program(name: str) -> None:
    row, path = ROWS[name], FOREIGN / name.partition(":")[0]
    array = open_array(str(FOREIGN / name), **row.more)
    assert tuple(array.source.shape) == row.shape
    assert array.axis_names == row.names
    assert array.voxel_size == row.size
    assert array.offset == row.offset
    assert np.array_equal(whole(array), row.voxels(path))


@pytest.mark.skipif(not FOREIGN.is_dir(), reason=f"needs the real files in {FOREIGN}")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hdf5_null_dataspace.hdf5:empty_int_32", "the dataset is empty"),
        ("ilastik_tyx.h5:simple", "the file gives no voxel size"),
        ("imagej_time_series.tif", "has 5 time points; set time=0 to 4"),
        ("n5_viewer_multiscale", "unknown unit 's'"),
    ],
)
def test_a_file_of_another_program_that_lacks_something(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_array(str(FOREIGN / name))


def hdf5(path: Path, data: np.ndarray[Any, Any], **attributes: Any) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        file["raw"] = data
        file["raw"].attrs.update(attributes)
    return f"{path}/a.h5:raw"


def tags(letters: str) -> str:
    return json.dumps({"axes": [{"key": letter, "typeFlags": 2} for letter in letters]})


def test_axes_by_axistags_and_by_labels_of_dimensions(tmp_path: Path) -> None:
    grid = {"voxel_size": [3, 2, 1], "unit": "nm"}
    name = hdf5(tmp_path, DATA, axistags=tags("xzy"))
    assert np.array_equal(whole(open_array(name, **grid)), DATA.transpose(1, 2, 0))
    assert np.array_equal(whole(open_array(name, axes="zyx", **grid)), DATA)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["raw"].attrs["axistags"]
        for dimension, label in zip(file["raw"].dims, "yxz", strict=True):
            dimension.label = label
    assert np.array_equal(whole(open_array(name, **grid)), DATA.transpose(2, 0, 1))
    name = hdf5(tmp_path, DATA, axistags=tags("zyxc"))
    with pytest.raises(InputError, match=r"its axistags name 4 axes, .* of 3; set axes"):
        open_array(name, **grid)
    assert np.array_equal(whole(open_array(name, axes="zyx", **grid)), DATA)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("writer", ["pages", "imagej", "shaped"])
def test_a_stack_cut_between_its_pages_is_refused(
    tmp_path: Path, share: float, writer: str
) -> None:
    file = tmp_path / "a.tif"
    if writer == "pages":  # as most programs write a stack
        with tifffile.TiffWriter(file) as opened:
            for page in DATA:
                opened.write(page, contiguous=False, metadata=None)
    else:
        tifffile.imwrite(file, DATA, imagej=writer == "imagej", metadata={"axes": "ZYX"})
    content = file.read_bytes()
    assert np.array_equal(whole(open_array(str(file), voxel_size=[1, 1, 1])), DATA)
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"cut short|not a readable TIFF"):
        open_array(str(file), voxel_size=[1, 1, 1])


def test_a_folder_of_stacks_is_not_a_stack_of_colours(tmp_path: Path) -> None:
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number}.tif", DATA[:3], photometric="minisblack")
    with pytest.raises(InputError, match=r"0.tif .* it is a stack with the axes QYX"):
        open_array(str(tmp_path), voxel_size=[1, 1, 1])
    colours = tmp_path / "colours"
    colours.mkdir()
    for number in range(2):
        tifffile.imwrite(colours / f"{number}.tif", DATA[..., :3], photometric="rgb")
    assert open_array(str(colours), voxel_size=[1, 1, 1]).source.shape == (3, 2, 5, 6)


def write_n5(path: Path, shape: tuple[int, ...], **attributes: Any) -> str:
    spec = {
        "driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": {"dimensions": shape, "blockSize": shape, "dataType": "uint16",
                     "compression": {"type": "gzip"}},
        "create": True,
    }  # fmt: skip
    ts.open(spec).result()[...] = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    file = path / "attributes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **attributes}))
    return str(path)


def test_four_axes_of_n5_without_names_have_to_be_named(tmp_path: Path) -> None:
    size = {"dimensions": [1, 2, 3], "unit": "nm"}
    name = write_n5(tmp_path / "a.n5", (7, 6, 5, 2), pixelResolution=size)
    with pytest.raises(InputError, match=r"names 3 axes of 4, .* from the fastest .*; set axes"):
        open_array(name, unit="nm")
    array = open_array(name, unit="nm", axes="xyzc")
    assert (array.source.shape, array.voxel_size) == ((2, 5, 6, 7), (3000, 2000, 1000))
    named = write_n5(tmp_path / "b.n5", (7, 6, 5, 2), resolution=[1, 2, 3, 1],
                     units=["nm", "nm", "um", ""], axes=["x", "y", "z", "c"])  # fmt: skip
    array = open_array(named)
    assert (array.source.shape, array.voxel_size) == ((2, 5, 6, 7), (3 * UM, 2000, 1000))


def zarr2(path: Path, encode: Callable[[bytes], bytes], **changes: Any) -> str:
    path.mkdir(parents=True)
    document = {
        "zarr_format": 2, "shape": DATA.shape, "chunks": DATA.shape, "dtype": "<u2", "order": "C",
        "compressor": None, "fill_value": 0, "filters": None, **changes,
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps(document))
    (path / "0.0.0").write_bytes(encode(DATA.tobytes()))
    return str(path)


@pytest.mark.parametrize("depth", [1, 40])
def test_what_only_zarr_reads_is_read_whatever_its_path(tmp_path: Path, depth: int) -> None:
    """As n5-zarr in Java and Zstandard with a checksum."""
    folder = tmp_path.joinpath(*["long"] * depth)
    grid = {"voxel_size": [3, 2, 1], "unit": "nm"}
    java = zarr2(
        folder / "java", gzip.compress, compressor={"id": "gzip", "level": -1}, fill_value="0"
    )
    zstd = zarr2(
        folder / "zstd", numcodecs.Zstd(checksum=True).encode,
        compressor={"id": "zstd", "level": 0, "checksum": True},
    )  # fmt: skip
    for name in (java, zstd):
        assert np.array_equal(whole(open_array(name, **grid)), DATA)


def test_an_image_whose_metadata_name_other_axes_is_refused(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=DATA[None])
    scale = {"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}], "path": "0"}
    axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [scale]}]
    for name in ("a.zarr", "a.zarr/0"):
        with pytest.raises(InputError, match=r"name the 3 axes .* has the shape \(1, 5, 6, 7\)"):
            open_array(str(tmp_path / name))


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_old_versions_of_ome_zarr(tmp_path: Path, version: str) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=DATA[None, None])
    axes = {"axes": list("tczyx")} if version == "0.3" else {}
    group.attrs["multiscales"] = [{"version": version, "datasets": [{"path": "0"}], **axes}]
    with pytest.raises(InputError, match="gives no voxel size; set voxel_size and unit"):
        open_array(str(tmp_path / "a.zarr"))
    array = open_array(str(tmp_path / "a.zarr"), voxel_size=[3, 2, 1], unit="um")
    assert (array.voxel_size, array.offset) == ((3 * UM, 2 * UM, UM), (0, 0, 0))
    assert np.array_equal(whole(array), DATA[None])


def test_axes_of_nifti_in_any_order(tmp_path: Path) -> None:
    """Against positions in the world as nibabel computes them."""
    orders = [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)]
    for number, order in enumerate(orders):
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        for axis, world in enumerate(order):
            affine[world, axis] = (2 + axis) * (-1 if (number + axis) % 2 else 1)
        affine[:3, 3] = 10, 20, 30
        path = tmp_path / f"{number}.nii"
        image = nibabel.Nifti1Image(DATA, affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)
        array = open_array(str(path))
        voxels = whole(array)
        for index in ((0, 0, 0), (4, 5, 6), (1, 2, 3)):
            place = affine[:3] @ [*index, 1]
            at = []
            for axis, name in enumerate(array.axis_names):
                sign = -1 if name.startswith("-") else 1
                world = sign * place["xyz".index(name[-1])] * MM
                at.append(round((world - array.offset[axis]) / array.voxel_size[axis] - 0.5))
            assert voxels[tuple(at)] == DATA[index]


def test_a_tilt_below_a_tenth_of_a_voxel_is_neglected(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1, 1, 1])
    affine[0, 1] = 5e-4
    nibabel.save(nibabel.Nifti1Image(DATA, affine), tmp_path / "a.nii")
    assert np.array_equal(whole(open_array(f"{tmp_path}/a.nii")), DATA.T)


@pytest.mark.parametrize("space", ["left-posterior-superior", "LPS"])
def test_spaces_of_nrrd_are_turned_to_that_of_nifti(tmp_path: Path, space: str) -> None:
    header = {"space": space, "space directions": np.diag([1, 2, 3]), "space origin": [5, 6, 7]}
    nrrd.write(f"{tmp_path}/a.nrrd", DATA, header)
    array = open_array(f"{tmp_path}/a.nrrd")
    assert (array.axis_names, array.unit) == (("z", "-y", "-x"), "mm")
    assert array.offset == (int(5.5 * MM), 5 * MM, int(4.5 * MM))


def test_units_of_nrrd_are_those_of_each_axis(tmp_path: Path) -> None:
    header = {
        "space dimension": 3, "space directions": np.diag([1, 2, 3]),
        "space units": ["nanometers", "um", "micrometers"],
    }  # fmt: skip
    nrrd.write(f"{tmp_path}/a.nrrd", DATA, header)
    assert open_array(f"{tmp_path}/a.nrrd").voxel_size == (3 * UM, 2 * UM, 1000)


@pytest.mark.parametrize("kind", ["h5", "nii.gz", "tif", "nrrd"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_damaged_file_ends_in_one_error(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / f"a.{kind}"
    name, grid = str(path), {"voxel_size": [1, 1, 1]}
    data = np.random.default_rng(0).integers(0, 60000, (20, 30, 40)).astype(np.uint16)
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("raw", data=data, compression="gzip", chunks=(5, 30, 40))
        name += ":raw"
    elif kind == "nii.gz":
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), path)
    elif kind == "tif":
        tifffile.imwrite(path, data, compression="zlib")
    else:
        nrrd.write(name, data)
    content = bytearray(path.read_bytes())
    begin = int(len(content) * share)
    content[begin : begin + 200] = bytes(len(content[begin : begin + 200]))
    path.write_bytes(content)
    message = ""
    try:  # some damage is not seen, as these formats have no checksums
        whole(open_array(name, **grid))  # type: ignore[arg-type]
    except InputError as error:
        message = str(error)
    assert "\n" not in message


def test_a_file_without_a_position_says_so(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(DATA.T, None)
    image.header.set_zooms((1, 2, 3))
    nibabel.save(image, tmp_path / "a.nii")
    array = open_array(f"{tmp_path}/a.nii", unit="um")
    assert (array.is_placed, array.voxel_size, array.offset) == (
        False, (3 * UM, 2 * UM, UM), (0, 0, 0)
    )  # fmt: skip
    assert open_array(f"{tmp_path}/a.nii", unit="um", offset=[0, 0, 0]).is_placed
    assert open_array(hdf5(tmp_path, DATA, voxel_size=[1, 1, 1], units="nm")).is_placed


def test_labels_without_a_position_beside_raw_with_one(tmp_path: Path) -> None:
    affine = np.diag([-1.0, 2, 3, 1])
    affine[:3, 3] = 5, 6, 7
    raw = np.random.default_rng(0).integers(0, 255, (40, 40, 40)).astype(np.uint8)
    cells = np.kron(np.arange(1, 65).reshape(4, 4, 4), np.ones((10, 10, 10), int)).astype(np.uint16)
    image = nibabel.Nifti1Image(raw, affine)
    labels = nibabel.Nifti1Image(cells, None)
    labels.header.set_zooms((1, 2, 3))
    for one, name in ((image, "raw"), (labels, "gt")):
        one.header.set_xyzt_units("mm")
        nibabel.save(one, tmp_path / f"{name}.nii")
    split = RegionsDataSplitConfig(
        raw=f"{tmp_path}/raw.nii", gt=f"{tmp_path}/gt.nii", train=0.5, validate=0.5, buffer=0.0
    ).build()
    whole_gt = split.train[0].gt
    assert whole_gt.offset == split.train[0].raw.offset
    assert whole_gt.axis_names == ("z", "y", "-x")


def test_axes_that_are_named_keep_their_direction(tmp_path: Path) -> None:
    affine = [[-1, 0, 0, 100], [0, -1, 0, 50], [0, 0, 2, 10], [0, 0, 0, 1]]
    image = nibabel.Nifti1Image(np.zeros((5, 4, 3, 2), np.uint8), np.array(affine, float))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    array = open_array(str(tmp_path / "a.nii.gz"), axes="xyzc")
    assert array.axis_names == ("z", "-y", "-x")
    assert array.source.shape == (2, 3, 4, 5)
    flipped = upright(array)
    assert flipped.offset == (9 * MM, int(46.5 * MM), int(95.5 * MM))


class TestImagesOneByOne:
    def write(self, path: Path, *shapes: tuple[int, int]) -> str:
        with tifffile.TiffWriter(path) as file:
            for number, shape in enumerate(shapes):
                file.write(np.full(shape, number, np.uint8))
        return str(path)

    def test_equal_ones_are_a_stack(self, tmp_path: Path) -> None:
        array = open_array(self.write(tmp_path / "a.tif", *[(4, 5)] * 3), voxel_size=[1, 1, 1])
        assert array.source.shape == (3, 4, 5)
        assert whole(array)[:, 0, 0].tolist() == [0, 1, 2]

    def test_of_others_the_first_is_read_and_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        array = open_array(self.write(tmp_path / "a.tif", (4, 5), (8, 9)), voxel_size=[1, 1])
        assert array.source.shape == (4, 5)
        assert "holds 2 images, of the shapes [4, 5], [8, 9]; only the first" in caplog.text


def write_png(path: Path, shape: tuple[int, int] = (6, 7)) -> None:
    imagecodecs.imwrite(path, np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["im0.png", "im0_masks.png", "im1.png", "im1_masks.png"], "several series of images"),
        (["s0_ch0.png", "s0_ch1.png", "s1_ch0.png", "s1_ch1.png"], "two numbers vary"),
        (["a_01.png", "a_02.png", "a_03.png"], ""),
        (["2020_a_01.png", "2020_a_02.png"], ""),
        (["top.png", "middle.png", "bottom.png"], ""),
        (["._a_01.png", "a_01.png", ".DS_Store.png"], ""),
    ],
)
def test_one_folder_holds_one_series(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        write_png(tmp_path / name)
    if message:
        with pytest.raises(InputError, match=message):
            open_array(str(tmp_path), voxel_size=[1, 1, 1])
        return
    shown = [name for name in names if name[0] != "."]
    assert open_array(str(tmp_path), voxel_size=[1, 1, 1]).shape[0] == len(shown)


def test_a_gap_between_sections_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 1, 3):
        write_png(tmp_path / f"{number:03}.png")
    open_array(str(tmp_path), voxel_size=[1, 1, 1])
    assert "a gap after 1" in caplog.text


def test_damaged_images_of_a_folder_end_in_one_line(tmp_path: Path) -> None:
    write_png(tmp_path / "a_1.png")
    (tmp_path / "a_2.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a_2.png is not a readable image: the file is empty"):
        whole(open_array(str(tmp_path), voxel_size=[1, 1, 1]))
    jpeg = tmp_path / "jpeg"
    jpeg.mkdir()
    encoded = imagecodecs.jpeg_encode(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    (jpeg / "a.jpg").write_bytes(encoded[: len(encoded) * 6 // 10])
    with pytest.raises(InputError, match=r"a.jpg is not .*: the file is cut short"):
        open_array(str(jpeg), voxel_size=[1, 1, 1])


def test_numbers_of_a_palette_are_ids(tmp_path: Path) -> None:
    ids = np.array([[0, 3], [7, 3]], np.uint8)
    image = Image.fromarray(ids, mode="P")
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "a.png")
    array = open_array(str(tmp_path), voxel_size=[1, 1, 1])
    assert array.source.shape == (1, 2, 2)
    assert (whole(array)[0] == ids).all()
    one_bit = tmp_path / "bits"
    one_bit.mkdir()
    Image.fromarray(ids > 0).save(one_bit / "a.png")
    assert whole(open_array(str(one_bit), voxel_size=[1, 1, 1])).max() == 1


def imagej(path: Path, **more: Any) -> Array:
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um", **more.pop("metadata", {})}
    metadata = {k: v for k, v in metadata.items() if v is not None}
    tifffile.imwrite(path, DATA, imagej=True, metadata=metadata, **{"resolution": (4, 4), **more})
    return open_array(str(path))


def test_what_imagej_means(tmp_path: Path) -> None:
    array = imagej(tmp_path / "a.tif", metadata={"xorigin": 2, "zorigin": -1})
    assert array.offset == (UM // 2, 0, -UM // 2)
    assert imagej(tmp_path / "b.tif", metadata={"spacing": -0.5}).voxel_size[0] == UM // 2
    assert imagej(tmp_path / "c.tif", metadata={"spacing": 0}).voxel_size[0] == UM
    array = imagej(
        tmp_path / "d.tif", metadata={"unit": None, "spacing": 0.001},
        resolution=(1000, 1000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    assert array.voxel_size == (10 * UM, 10 * UM, 10 * UM)
    with pytest.raises(InputError, match="gives no voxel size"):
        imagej(tmp_path / "e.tif", metadata={"unit": None}, resolutionunit="INCH")


def test_nifti_without_a_unit_is_in_mm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nibabel.save(nibabel.Nifti1Image(DATA, np.diag([0.7227, 0.7227, 2, 1])), tmp_path / "a.nii")
    assert open_array(str(tmp_path / "a.nii")).voxel_size == (2 * MM, 722700000, 722700000)
    assert "names no unit; taken to be mm" in caplog.text


@pytest.mark.parametrize("size", [3.125, 4.137, 1.333])
def test_half_a_voxel_need_not_be_whole_picometres(tmp_path: Path, size: float) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("x/s0", shape=(4, 4, 4), dtype="uint8")
    group.create_array("x/s1", shape=(2, 2, 2), dtype="uint8")
    scales = {"x/s1": 2 * size, "x/s0": size}  # the coarsest comes first
    datasets = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [scale] * 3}]}
        for path, scale in scales.items()
    ]
    axes = [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    for uri in (tmp_path / "a.zarr", tmp_path / "a.zarr" / "x" / "s0"):
        array = open_array(str(uri))
        assert array.voxel_size == (round(1000 * size),) * 3
        assert array.shape == (4, 4, 4)
    assert open_array(str(tmp_path / "a.zarr" / "x" / "s1")).voxel_size[0] == round(2000 * size)


def test_hdf5_by_other_names(tmp_path: Path) -> None:
    path = tmp_path / "my:file.mat"
    with h5py.File(path, "w") as file:
        file["a:b"] = DATA
    array = open_array(f"file://{path}:a:b", voxel_size=[1, 1, 1])
    assert np.array_equal(whole(array), DATA)
