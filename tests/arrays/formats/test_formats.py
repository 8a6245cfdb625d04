"""Every format that is read: the same voxels at the same place, or one clear error."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import nibabel
import nrrd
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr

from dacapo.arrays import ReadOptions, open_array
from dacapo.errors import InputError

DATA = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype(np.uint16)
SIZE = (40000, 4600, 4700)
NM = {"voxel_size": [40, 4.6, 4.7], "unit": "nm"}


def write_tiff_imagej(path: Path) -> str:
    file = path / "a.tif"
    tifffile.imwrite(
        file, DATA, imagej=True, resolution=(1 / 0.0047, 1 / 0.0046),
        metadata={"axes": "ZYX", "spacing": 0.04, "unit": "um"},
    )  # fmt: skip
    return str(file)


def write_tiff_ome(path: Path) -> str:
    file = path / "a.ome.tif"
    sizes = {
        f"PhysicalSize{a}{u}": v
        for a, s in (("Z", 40.0), ("Y", 4.6), ("X", 4.7))
        for u, v in (("", s), ("Unit", "nm"))
    }
    tifffile.imwrite(
        file, DATA, metadata={"axes": "ZYX", **sizes}, compression="zlib", tile=(16, 16)
    )
    return str(file)


def write_nifti(path: Path) -> str:
    image = nibabel.Nifti1Image(DATA.transpose(2, 1, 0), np.diag([4.7, 4.6, 40, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, path / "a.nii.gz")
    return str(path / "a.nii.gz")


def write_nrrd(path: Path) -> str:
    header = {
        "space dimension": 3, "space directions": np.diag([4.7, 4.6, 40]),
        "space units": ["nm"] * 3, "space origin": [2.35, 2.3, 20],
    }  # fmt: skip
    nrrd.write(str(path / "a.nrrd"), DATA.transpose(2, 1, 0), header)
    return str(path / "a.nrrd")


def write_precomputed(path: Path) -> str:
    store = ts.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{path}/pre/"},
            "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
            "scale_metadata": {
                "resolution": [4.7, 4.6, 40], "size": [7, 6, 5], "voxel_offset": [10, 20, 30],
                "chunk_size": [4, 4, 4], "encoding": "raw",
            },
        },
        create=True,
    ).result()  # fmt: skip
    store[..., 0].write(DATA.transpose(2, 1, 0)).result()
    return f"{path}/pre"


def write_n5(path: Path, attributes: dict[str, Any] | None = None) -> str:
    store = ts.open(
        {
            "driver": "n5",
            "kvstore": {"driver": "file", "path": f"{path}/a.n5/raw/"},
            "metadata": {
                "dimensions": [7, 6, 5], "blockSize": [4, 4, 4], "dataType": "uint16",
                "compression": {"type": "gzip"},
            },
        },
        create=True,
    ).result()  # fmt: skip
    store.write(DATA.transpose(2, 1, 0)).result()
    file = path / "a.n5" / "raw" / "attributes.json"
    given = attributes or {"pixelResolution": {"dimensions": [4.7, 4.6, 40], "unit": "nm"}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **given}))
    return f"{path}/a.n5/raw"


def write_images(path: Path) -> str:
    (path / "stack").mkdir()
    for number, section in enumerate(DATA):
        imagecodecs.imwrite(path / "stack" / f"s{2 * number + 1}.png", section)  # s9 before s11
    return str(path / "stack")


def write_sharded(path: Path) -> str:
    array = zarr.create_array(
        str(path / "a.zarr"), shape=DATA.shape, chunks=(2, 2, 2), shards=(4, 4, 4), dtype="uint16"
    )
    array[:] = DATA
    array.attrs.update({"voxel_size": NM["voxel_size"], "units": "nm"})
    return str(path / "a.zarr")


def write_lz4(path: Path) -> str:
    import numcodecs

    array = zarr.create_array(
        str(path / "b.zarr"), shape=DATA.shape, chunks=(2, 2, 2), dtype="uint16", zarr_format=2,
        compressors=numcodecs.LZ4(),
    )  # fmt: skip
    array[:] = DATA
    array.attrs.update({"voxel_size": NM["voxel_size"], "units": "nm"})
    return str(path / "b.zarr")


@pytest.mark.parametrize(
    ("write", "given", "size", "offset"),
    [
        (write_tiff_imagej, {}, SIZE, (0, 0, 0)),
        (write_tiff_ome, {}, SIZE, (0, 0, 0)),
        (write_nifti, {}, tuple(1000 * s for s in SIZE), (-20000000, -2300000, -2350000)),
        (write_nrrd, {}, SIZE, (0, 0, 0)),
        (write_precomputed, {}, SIZE, (30 * 40000, 20 * 4600, 10 * 4700)),
        (write_n5, {}, SIZE, (0, 0, 0)),
        (write_images, NM, SIZE, (0, 0, 0)),
        (write_sharded, {}, SIZE, (0, 0, 0)),
        (write_lz4, {}, SIZE, (0, 0, 0)),
    ],
)
def test_the_same_voxels_at_their_place(
    tmp_path: Path, write: Callable[[Path], str], given: Any, size: Any, offset: Any
) -> None:
    array = open_array(write(tmp_path), **given)
    assert array.voxel_size == size
    assert array.offset == offset
    assert array.axis_names == ("z", "y", "x")
    whole = array.read(array.roi)
    assert np.array_equal(whole.reshape(DATA.shape), DATA)
    part = array.crop(array.roi.grow(-array.voxel_size, -array.voxel_size))
    assert np.array_equal(part.read(part.roi).reshape(3, 4, 5), DATA[1:-1, 1:-1, 1:-1])


class TestAxes:
    def write(self, path: Path, data: Any, names: list[str]) -> str:
        with h5py.File(path / "a.h5", "w") as file:
            dataset = file.create_dataset("raw", data=data)
            spatial = [n for n in names if n in "zyx"]
            size = {"z": 40.0, "y": 4.6, "x": 4.7}
            dataset.attrs.update(
                {"voxel_size": [size[n] for n in spatial], "units": "nm", "axis_names": names}
            )
        return f"{path}/a.h5:raw"

    @pytest.mark.parametrize("names", [["x", "y", "z"], ["y", "z", "x"], ["z", "x", "y"]])
    def test_stored_in_any_order_they_come_as_z_y_x(self, tmp_path: Path, names: list[str]) -> None:
        stored = DATA.transpose(["zyx".index(n) for n in names])
        array = open_array(self.write(tmp_path, stored, names))
        assert array.voxel_size == SIZE
        assert np.array_equal(array.read(array.roi), DATA)

    def test_channels_may_come_last(self, tmp_path: Path) -> None:
        colours = np.stack([DATA, DATA + 1], axis=-1)
        array = open_array(self.write(tmp_path, colours, ["z", "y", "x", "c"]))
        assert array.channel_shape == (2,)
        assert np.array_equal(array.read(array.roi), np.moveaxis(colours, -1, 0))

    def test_one_time_point_is_chosen(self, tmp_path: Path) -> None:
        movie = np.stack([DATA, DATA + 1])
        where = self.write(tmp_path, movie, ["t", "z", "y", "x"])
        with pytest.raises(InputError, match="2 time points; set time=0 to 1"):
            open_array(where)
        array = open_array(where, time=1)
        assert np.array_equal(array.read(array.roi), DATA + 1)
        with pytest.raises(InputError, match="time=2, but the time points are 0 to 1"):
            open_array(where, time=2)

    def test_a_person_may_name_them(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.stack([DATA, DATA]))
        array = open_array(f"{tmp_path}/a.tif", axes="czyx", **NM)  # type: ignore[arg-type]
        assert array.channel_shape == (2,)
        assert array.voxel_size == SIZE
        with pytest.raises(InputError, match="axes=zyx names 3 axes"):
            open_array(f"{tmp_path}/a.tif", axes="zyx", **NM)  # type: ignore[arg-type]

    @pytest.mark.parametrize("names", [["z", "z", "x"], ["t", "c", "x"], ["c", "z", "y", "x", "w"]])
    def test_names_that_mean_nothing(self, tmp_path: Path, names: list[str]) -> None:
        with pytest.raises(InputError, match=r"axes|axis"):
            open_array(self.write(tmp_path, DATA, names))


class TestPyramids:
    def write(self, path: Path) -> str:
        group = zarr.open_group(str(path / "a.zarr"), mode="w", zarr_format=2)
        group.create_array("0", data=DATA)
        group.create_array("1", data=DATA[:, ::2, ::2])
        image = {
            "axes": [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"],
            "datasets": [
                {"path": "0", "coordinateTransformations": [
                    {"type": "scale", "scale": [40, 4.6, 4.6]}]},
                {"path": "1", "coordinateTransformations": [
                    {"type": "scale", "scale": [40, 9.2, 9.2]},
                    {"type": "translation", "translation": [0, 2.3, 2.3]}]},
            ],
        }  # fmt: skip
        group.attrs["multiscales"] = [image]
        return str(path / "a.zarr")

    def test_a_level_is_chosen_by_its_voxel_size(self, tmp_path: Path) -> None:
        array = open_array(self.write(tmp_path), level=[40, 9.2, 9.2])
        assert array.voxel_size == (40000, 9200, 9200)
        assert array.offset == (-20000, -2300, -2300)  # shares its corner with the finest
        assert np.array_equal(array.read(array.roi), DATA[:, ::2, ::2])

    def test_other_sizes_are_listed(self, tmp_path: Path) -> None:
        where = self.write(tmp_path)
        with pytest.raises(InputError, match=r"no level .*\[40.0, 4.6, 4.6\] nano.*, \[40.0, 9.2"):
            open_array(where, level=[40, 5, 5])
        with pytest.raises(InputError, match="not a pyramid of several levels"):
            open_array(f"{where}/0", level=[40, 9.2, 9.2])
        assert open_array(f"{where}/0", level=[40, 4.6, 4.6]).shape == DATA.shape

    def test_n5_scales(self, tmp_path: Path) -> None:
        write_n5(tmp_path)
        (tmp_path / "a.n5" / "raw").rename(tmp_path / "a.n5" / "s0")
        (tmp_path / "a.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
        assert open_array(f"{tmp_path}/a.n5").voxel_size == SIZE

    def test_n5_transform_names_its_axes(self, tmp_path: Path) -> None:
        transform = {"axes": ["z", "y", "x"], "scale": [40, 4.6, 4.7], "translate": [20, 2.3, 2.35],
                     "units": ["nm"] * 3}  # fmt: skip
        array = open_array(write_n5(tmp_path, {"transform": transform}))
        assert array.voxel_size == SIZE
        assert array.offset == (0, 0, 0)


class TestDamaged:
    """No reader gives a wrong voxel."""

    def refused(self, where: str, match: str, **given: Any) -> None:
        def read() -> None:
            array = open_array(where, key="datasplit.raw", **given)
            array.read(array.roi)

        with pytest.raises(InputError, match=match) as error:
            read()
        assert str(error.value).startswith("datasplit.raw=")

    @pytest.mark.parametrize("write", [write_tiff_imagej, write_tiff_ome, write_nifti, write_nrrd])
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
    def test_a_file_cut_short(
        self, tmp_path: Path, write: Callable[[Path], str], share: float
    ) -> None:
        where = Path(write(tmp_path))
        content = where.read_bytes()
        where.write_bytes(content[: int(share * len(content))])
        self.refused(str(where), "")

    @pytest.mark.parametrize("write", [write_sharded, write_lz4, write_n5, write_precomputed])
    def test_a_chunk_cut_short(self, tmp_path: Path, write: Callable[[Path], str]) -> None:
        where = Path(write(tmp_path))
        metadata = (".zarray", ".zattrs", "info", "zarr.json", "attributes.json")
        chunks = [p for p in where.rglob("*") if p.is_file() and p.name not in metadata]
        largest = max(chunks, key=lambda p: p.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:5])
        self.refused(str(where), "cannot be read")

    def test_a_checksum_that_fails(self, tmp_path: Path) -> None:
        from zarr.codecs import Crc32cCodec

        array = zarr.create_array(
            str(tmp_path / "a.zarr"), shape=DATA.shape, chunks=DATA.shape, dtype="uint16",
            compressors=[Crc32cCodec()],
        )  # fmt: skip
        array[:] = DATA
        array.attrs.update({"voxel_size": [1, 1, 1], "units": "nm"})
        chunk = next(p for p in (tmp_path / "a.zarr" / "c").rglob("*") if p.is_file())
        content = bytearray(chunk.read_bytes())
        content[10] ^= 1
        chunk.write_bytes(bytes(content))
        self.refused(f"{tmp_path}/a.zarr", "cannot be read.*checksum|crc32c|CRC")

    def test_sections_that_differ(self, tmp_path: Path) -> None:
        where = write_images(tmp_path)
        imagecodecs.imwrite(Path(where) / "s5.png", DATA[0, :3])
        self.refused(where, r"s5.png has the shape \(3, 7\)", **NM)
        (Path(where) / "s5.png").write_bytes(b"no image")
        self.refused(where, "s5.png is not a readable image", **NM)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        self.refused(str(tmp_path), "holds neither .* nor images")

    def test_turned_axes(self, tmp_path: Path) -> None:
        turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
        affine = np.block([[turn, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
        nibabel.save(nibabel.Nifti1Image(DATA, affine), tmp_path / "a.nii")
        self.refused(f"{tmp_path}/a.nii", "rotated relative to .*; set axes, voxel_size, offset")
        grid = {"axes": "xyz", "voxel_size": [3, 2, 1], "offset": [0, 0, 0], "unit": "mm"}
        array = open_array(f"{tmp_path}/a.nii", **grid)
        assert np.array_equal(array.read(array.roi), DATA.transpose(2, 1, 0))
        for key in grid:
            self.refused(
                f"{tmp_path}/a.nii", "rotated", **{k: v for k, v in grid.items() if k != key}
            )

    def test_flipped_axes_are_named(self, tmp_path: Path) -> None:
        nibabel.save(nibabel.Nifti1Image(DATA, np.diag([-1, 1, 1, 1.0])), tmp_path / "a.nii")
        array = open_array(f"{tmp_path}/a.nii")
        assert array.axis_names == ("z", "y", "-x")
        assert np.array_equal(array.read(array.roi), DATA.transpose(2, 1, 0))

    def test_text_is_no_volume(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["raw"] = np.array([[b"a", b"b"], [b"c", b"d"]])
        self.refused(f"{tmp_path}/a.h5:raw", "are not numbers", voxel_size=[1, 1])

    def test_units_that_contradict(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["raw"] = DATA
            file["raw"].attrs.update({"voxel_size": [1, 1, 1], "units": ["nm", "pixel", "nm"]})
        self.refused(f"{tmp_path}/a.h5:raw", "mix pixels and lengths")


def test_labels_up_to_2_to_the_63_stay_what_they_are(tmp_path: Path) -> None:
    ids = np.array([[[2**63 - 1, 2**63], [2**53 + 1, 7]]], np.uint64)
    array = zarr.create_array(str(tmp_path / "a.zarr"), data=ids)
    array.attrs["voxel_size"] = [1, 1, 1]
    opened = open_array(f"{tmp_path}/a.zarr")
    assert np.array_equal(opened.read(opened.roi), ids)


def test_chunks_are_decoded_once_where_there_is_room(tmp_path: Path) -> None:
    where = write_sharded(tmp_path)
    array = open_array(where, options=ReadOptions(cache_mib=64))
    first = array.read(array.roi)
    for chunk in (tmp_path / "a.zarr" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    assert np.array_equal(array.read(array.roi), first)


def test_codecs_that_run_code_are_not_read(tmp_path: Path) -> None:
    """numcodecs has one of the name pickle."""
    path = tmp_path / "a.zarr"
    path.mkdir()
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    array = {
        "zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|O", "order": "C",
        "compressor": None, "fill_value": None, "filters": [{"id": "pickle", "protocol": 5}],
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps(array))
    (path / "0").write_bytes(pickle.dumps(np.array([Evil(), 1], object)))
    with pytest.raises(InputError, match=r"."):
        open_array(str(path))
    array |= {"dtype": "<u2", "compressor": {"id": "pickle"}, "filters": None}
    (path / ".zarray").write_text(json.dumps(array))
    with pytest.raises(InputError, match=r"the codec 'pickle' in .* is not supported"):
        open_array(str(path))
    array |= {"compressor": {"id": "lz4", "acceleration": 1}, "dtype": "|O"}
    (path / ".zarray").write_text(json.dumps(array))
    with pytest.raises(InputError, match=r"."):
        open_array(str(path))
    assert not marker.exists()


def test_bytes_of_another_file_are_not_voxels(tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_bytes(b"-" * 64)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (4, 4, 4), "u1", external=[(str(secret), 0, 64)])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 4, 4), "u1")
        layout[:] = h5py.VirtualSource("a.h5", "raw", (4, 4, 4))
        file.create_virtual_dataset("raw", layout)
        file["link"] = h5py.ExternalLink("a.h5", "raw")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("source", (4, 4, 4), "u1", external=[(str(secret), 0, 64)])
        layout = h5py.VirtualLayout((4, 4, 4), "u1")
        layout[:] = h5py.VirtualSource(".", "source", (4, 4, 4))
        file.create_virtual_dataset("raw", layout)
    for name in ("a.h5:raw", "b.h5:raw", "b.h5:link", "c.h5:raw"):
        with pytest.raises(InputError, match=r"are the bytes of .*id_rsa, which is not read"):
            open_array(str(tmp_path / name))


def test_a_virtual_dataset_is_read_if_its_source_is_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = DATA
    with h5py.File(tmp_path / "b.h5", "w") as file:
        layout = h5py.VirtualLayout(DATA.shape, DATA.dtype)
        layout[:] = h5py.VirtualSource("a.h5", "raw", DATA.shape)
        file.create_virtual_dataset("raw", layout)
    array = open_array(f"{tmp_path}/b.h5:raw", **NM)
    assert np.array_equal(array.read(array.roi), DATA)
    (tmp_path / "a.h5").rename(tmp_path / "elsewhere.h5")
    with pytest.raises(InputError, match=r"its voxels are in .*a.h5, which is not there"):
        open_array(f"{tmp_path}/b.h5:raw", **NM)
