"""Metadata that nobody would write: an array or one clear error, never anything else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dacapo.arrays import open_array
from dacapo.arrays.formats.n5 import n5_levels, n5_metadata
from dacapo.arrays.formats.ome import ome_levels
from dacapo.arrays.formats.precomputed import precomputed_levels
from dacapo.errors import InputError

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
NUMBERS = st.lists(st.floats() | st.integers() | st.just("1"), max_size=4) | JUNK
TRANSFORM = st.fixed_dictionaries(
    {},
    optional={"type": st.sampled_from(["scale", "translation", "affine"]) | JUNK, "scale": NUMBERS,
              "translation": NUMBERS},
)  # fmt: skip
AXIS = st.fixed_dictionaries(
    {"name": st.sampled_from(list("zyxct")) | JUNK},
    optional={"type": st.sampled_from(["space", "channel", "time"]) | JUNK,
              "unit": st.sampled_from(["nanometer", "micrometer", "second"]) | JUNK},
)  # fmt: skip
IMAGE = st.fixed_dictionaries(
    {},
    optional={
        "axes": st.lists(AXIS, max_size=5) | JUNK,
        "datasets": st.lists(
            st.fixed_dictionaries(
                {"path": st.just("0") | JUNK},
                optional={"coordinateTransformations": st.lists(TRANSFORM, max_size=2) | JUNK},
            ),
            max_size=2,
        ) | JUNK,
        "coordinateTransformations": st.lists(TRANSFORM, max_size=2) | JUNK,
    },
)  # fmt: skip
OME = st.fixed_dictionaries({"multiscales": st.lists(IMAGE, max_size=2) | JUNK}) | st.dictionaries(
    st.text(max_size=4), JUNK, max_size=3
)
N5 = st.fixed_dictionaries(
    {},
    optional={
        "dimensions": NUMBERS, "resolution": NUMBERS, "offset": NUMBERS, "units": NUMBERS,
        "downsamplingFactors": NUMBERS,
        "pixelResolution": NUMBERS
        | st.fixed_dictionaries({}, optional={"dimensions": NUMBERS, "unit": JUNK}),
        "transform": JUNK
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("axes", "scale", "translate", "units"), NUMBERS)
        ),
        "multiscales": JUNK
        | st.lists(st.fixed_dictionaries({}, optional={"datasets": JUNK}), max_size=1),
    },
)  # fmt: skip
INFO = st.fixed_dictionaries(
    {},
    optional={"scales": JUNK | st.lists(st.fixed_dictionaries(
        {}, optional={"resolution": NUMBERS, "voxel_offset": NUMBERS, "key": JUNK}), max_size=2)},
)  # fmt: skip
PLAIN = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("voxel_size", "resolution", "offset", "units", "axis_names", "class_names"), NUMBERS
    ),
)  # fmt: skip
MANY = settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck))


def or_one_error(function: Any, *arguments: Any) -> None:
    message = ""
    try:
        function(*arguments)
    except InputError as error:
        message = str(error)
    assert not message or "raw" in message


@MANY
@given(OME)
def test_ome(attributes: Any) -> None:
    or_one_error(ome_levels, attributes, "raw")


@MANY
@given(N5)
def test_n5(attributes: Any) -> None:
    or_one_error(n5_metadata, attributes, "raw")
    or_one_error(n5_levels, attributes, "raw", lambda path: attributes if path == "s0" else None)


@MANY
@given(INFO)
def test_precomputed(info: Any) -> None:
    or_one_error(precomputed_levels, info, "raw")


@pytest.mark.parametrize("kind", ["plain", "ome"])
@settings(max_examples=700, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_store_with_such_attributes(tmp_path_factory: Any, kind: str, data: Any) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "a.zarr"
    attributes = data.draw(PLAIN if kind == "plain" else OME)
    array = folder if kind == "plain" else folder / "0"
    array.mkdir(parents=True)
    (array / ".zarray").write_text(
        json.dumps(
            {"zarr_format": 2, "shape": [2, 2, 2], "chunks": [2, 2, 2], "dtype": "|u1",
             "order": "C", "compressor": None, "fill_value": 3, "filters": None}
        )
    )  # fmt: skip
    (folder / ".zattrs").write_text(json.dumps(attributes))

    def read() -> None:
        opened = open_array(str(folder), key="raw")
        assert min(opened.voxel_size) > 0
        assert np.all(opened.read(opened.roi) == 3)

    or_one_error(read)
