"""`python -m dacapo.view`: volumes in neuroglancer."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
import zlib
from io import BytesIO
from math import prod
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dacapo.arrays import open_array
from dacapo.arrays.write import write_array
from dacapo.errors import InputError
from dacapo.figures.neuroglancer import Point, check_alike, file_layers, local_volume, show
from dacapo.figures.volume_page import volume_page
from dacapo.view import ViewConfig, view
from tests.conftest import write_hdf5

SHAPE = (12, 10, 8)


def test_volumes_are_served_as_they_are(tmp_path: Path) -> None:
    neuroglancer = pytest.importorskip("neuroglancer", reason="needs neuroglancer")
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 200, SHAPE).astype(np.uint8)
    ids = rng.integers(0, 2**40, SHAPE)
    file = write_hdf5(
        tmp_path / "a.h5", {"raw": raw, "labels": ids}, voxel_size=[40, 4, 4], units="nm",
        offset=[80, 0, 8],
    )  # fmt: skip
    probabilities = rng.random((2, *SHAPE)).astype(np.float16)
    half = write_hdf5(
        tmp_path / "b.h5", {"p": probabilities}, offset=[80, 0, 8],
        voxel_size=[40, 4, 4], units="nm", axis_names=["c^", "z", "y", "x"],
    )  # fmt: skip
    path = str(tmp_path / "s.zarr")
    write_array(path, open_array(f"{file}:labels"))
    layers = file_layers(f"{file}:raw", f"{half}:p", None, path)
    assert [layer.name for layer in layers] == ["raw", "prediction", "segmentation"]
    with show(layers, "127.0.0.1", 0) as url, urllib.request.urlopen(url, timeout=30) as page:
        assert page.status == 200
    for layer, expected in zip(layers, (raw, probabilities, ids), strict=True):
        volume = local_volume(neuroglancer, layer)  # what the page fetches from
        end = np.array(expected.shape)
        data, _ = volume.get_encoded_subvolume("npz", 0 * end, end, ",".join("1" for _ in end))
        found = np.load(BytesIO(zlib.decompress(data)))
        assert np.array_equal(found, expected)
        assert volume.voxel_offset[-3:].tolist() == [2, 0, 2]
        assert volume.volume_type == ("image" if layer.name != "segmentation" else layer.name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"give run=, or some of raw="),
        ({"run": "a/0", "raw": "a.h5:raw"}, r"raw=a.h5:raw: no file a.h5"),
        ({"run": "a/0"}, r"run=a/0: there is no such run"),
        ({"segmentation": "none.zarr"}, r"segmentation=none.zarr"),
        ({"raw": "a.h5:raw", "output": "v.png"}, r"output=v.png: the name must end in .html"),
        ({"raw": "a.h5:raw", "state": "v.txt"}, r"state=v.txt: the name must end in .json"),
        ({"raw": "a", "output": "v.html", "state": "v.json"}, r"give one of them"),
    ],
)
def test_mistakes(given: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        view(ViewConfig(**given))  # type: ignore[arg-type]


def test_what_is_seen_is_kept_for_others(tmp_path: Path) -> None:
    pytest.importorskip("neuroglancer", reason="needs neuroglancer")
    ids = np.arange(prod(SHAPE)).reshape(SHAPE)
    file = write_hdf5(tmp_path / "a.h5", {"raw": ids % 255, "ids": ids}, voxel_size=[4, 4, 4])
    layers = file_layers(f"{file}:raw", None, None, f"{file}:ids")
    state = tmp_path / "view.json"
    with show(layers, "127.0.0.1", 0, None, state):
        assert not state.exists()
    kept = json.loads(state.read_text())
    assert [layer["name"] for layer in kept["layers"]] == ["raw", "segmentation"]
    assert not any("source" in layer for layer in kept["layers"])
    assert kept["position"] == [6, 5, 4]

    kept["position"] = [1.5, 2, 3]
    kept["layers"][0] |= {"shader": "void main() { evil(); }", "source": "http://example.org"}
    kept["layers"][1] |= {"segments": ["5"], "source": "python://volume/1"}
    note = {"type": "point", "id": "1", "point": [1, 2, 3], "description": "split"}
    kept["layers"] += [
        {"type": "annotation", "name": "notes", "annotations": [note], "source": "http://b.org"},
        {"type": "image", "name": "other", "source": "zarr://http://example.org"},
    ]
    state.write_text(json.dumps(kept))
    with show(layers, "127.0.0.1", 0, None, state):
        pass
    seen = json.loads(state.read_text())
    raw, segmentation, notes = seen["layers"]
    assert seen["position"] == [1.5, 2, 3]
    assert "evil" not in raw["shader"]
    assert segmentation["segments"] == ["5"]
    assert notes["annotations"][0]["description"] == "split"
    assert "example.org" not in state.read_text()
    assert "b.org" not in state.read_text()


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "[]",
        '{"layers": [1]}',
        '{"layers": [{"name": []}]}',
        "[" * 100_000,
        '{"layers": "a"}',
        '{"layers": [], "position": "a"}',
    ],
)
def test_a_file_that_is_no_state(tmp_path: Path, content: str) -> None:
    pytest.importorskip("neuroglancer", reason="needs neuroglancer")
    file = write_hdf5(tmp_path / "a.h5", {"raw": np.eye(9, dtype=np.uint8)})
    (tmp_path / "s.json").write_text(content)
    layers = file_layers(f"{file}:raw", None, None, None)
    with (
        pytest.raises(InputError, match=r"state=.*s.json"),
        show(layers, "127.0.0.1", 0, None, tmp_path / "s.json"),
    ):
        pass
    assert (tmp_path / "s.json").read_text() == content


def pictures(page: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    found = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [imagecodecs.png_decode(base64.b64decode(png)) for png in found]


def test_a_page_of_sections(tmp_path: Path) -> None:
    raw = np.arange(prod(SHAPE)).reshape(SHAPE).astype(np.float32)
    gt = np.zeros(SHAPE, np.int64)
    gt[:, 5:] = 2**40
    file = write_hdf5(tmp_path / "a.h5", {"raw": raw, "gt": gt}, voxel_size=[40, 4, 4], units="nm")
    segmentation = np.zeros(SHAPE, np.int64)
    segmentation[:, 6:] = 9
    rng = np.random.default_rng(0)
    other = write_hdf5(
        tmp_path / "b.h5", {"ids": segmentation[2:], "p": rng.random((2, 10, 10, 8))},
        voxel_size=[40, 4, 4], units="nm", offset=[80, 0, 0],
    )  # fmt: skip
    page = tmp_path / "v.html"
    view(
        ViewConfig(
            raw=f"{file}:raw",
            gt=f"{file}:gt",
            segmentation=f"{other}:ids",
            prediction=f"{other}:p",
            output=str(page),
        )
    )
    text = page.read_text()
    assert "z = 280 nm, y = 20 nm, x = 16 nm" in text
    images = pictures(text)
    assert [i.shape for i in images] == [(10, 8, 3)] * 4 + [(10, 8, 3)] * 4 + [(10, 10, 3)] * 4
    grey, predicted, truth, found = (i.astype(int) for i in images[:4])
    assert (np.ptp(grey, axis=-1) == 0).all()
    assert (predicted[..., 2] == 0)[:3, :3].all()
    assert (truth[7, 1] == found[7, 1]).all()  # a segment has the colour of its object
    assert (np.ptp(truth[9], axis=-1) > 0).any()
    assert (np.ptp(truth[0], axis=-1) == 0).all()


def test_a_page_of_sites_and_of_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = write_hdf5(tmp_path / "a.h5", {"raw": rng.random((30, 40)).astype(np.float32)})
    view(ViewConfig(raw=f"{file}:raw", output=str(tmp_path / "v.html")))
    assert [i.shape for i in pictures((tmp_path / "v.html").read_text())] == [(30, 40, 3)]
    volume = write_hdf5(tmp_path / "b.h5", {"raw": rng.random(SHAPE).astype(np.float32)},
                        voxel_size=[4, 4, 4], units="nm")  # fmt: skip
    points = {"splits": [Point([13, 30, 400], "9 voxels")]}
    page = volume_page(file_layers(f"{volume}:raw", None, None, None), points)
    assert "splits: 9 voxels" in page
    assert "z = 12 nm, y = 28 nm, x = 28 nm" in page
    far = write_hdf5(tmp_path / "c.h5", {"raw": np.zeros(SHAPE, np.uint8)}, offset=[9999, 0, 0],
                     voxel_size=[4, 4, 4], units="nm")  # fmt: skip
    with pytest.raises(InputError, match=r"raw=.* and segmentation=.* do not overlap"):
        volume_page(file_layers(f"{volume}:raw", None, None, f"{far}:raw"), {})


def test_volumes_that_cannot_be_shown_together(tmp_path: Path) -> None:
    raw = np.arange(prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    volume = write_hdf5(tmp_path / "a.h5", {"raw": raw}, voxel_size=[4, 4, 4], units="nm")
    flat = write_hdf5(
        tmp_path / "b.h5", {"ids": np.ones((9, 9), int)}, voxel_size=[4, 4], units="nm"
    )
    pixels = write_hdf5(tmp_path / "c.h5", {"ids": np.ones(SHAPE, int)})
    for other, message in (
        (flat, "has 3 axes and .* 2: they cannot"),
        (pixels, "c.h5:ids does not say"),
    ):
        with pytest.raises(InputError, match=message):
            view(ViewConfig(raw=f"{volume}:raw", segmentation=f"{other}:ids", output="v.html"))
    with pytest.raises(InputError, match=r"sites: splits have 2 axes, not 3"):
        check_alike(
            file_layers(f"{volume}:raw", None, None, None), {"splits": [Point([1, 2], "a")]}
        )
    both = file_layers(f"{volume}:raw", None, None, f"{pixels}:ids", [4, 4, 4], "nm")
    check_alike(both, {})
    assert both[0].array.roi == both[1].array.roi


def test_a_state_that_could_not_be_written(tmp_path: Path) -> None:
    file = write_hdf5(tmp_path / "a.h5", {"raw": np.eye(9, dtype=np.uint8)})
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"state"):
        view(ViewConfig(raw=f"{file}:raw", state=str(tmp_path / "file" / "v.json")))
