"""`python -m dacapo.view`: volumes in neuroglancer."""

from __future__ import annotations

import urllib.request
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from dacapo.arrays import open_array
from dacapo.arrays.write import write_array
from dacapo.errors import InputError
from dacapo.figures.neuroglancer import file_layers, local_volume, show
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
    ],
)
def test_mistakes(given: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        view(ViewConfig(**given))  # type: ignore[arg-type]
