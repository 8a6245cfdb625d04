"""How raw is normalised, in the words of bioimage.io."""

from __future__ import annotations

from typing import Any

import numpy as np

from dacapo.inference.saved import Normalization

Volume = np.ndarray[Any, np.dtype[Any]]
Steps = list[dict[str, Any]]


def preprocessing(normalization: Normalization, space: str, dtype: str) -> tuple[Steps, str]:
    """The steps from raw intensities to -1..1, as networks expect them, and the type of raw.

    Args:
        space: the letters of the spatial axes.
        dtype: of raw in training; empty if unknown.
    """
    how, fixed = normalization.how, normalization.fixed
    # Raw of 8 bits is not scaled by its own minimum and maximum.
    is_byte = dtype == "uint8" and fixed == (0.0, 255.0) and how in (None, "range")
    whole = {"axes": list(space)}
    kind = "uint8" if is_byte else "float32"
    # Last as well: readers convert to the type of raw otherwise.
    as_float: dict[str, Any] = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    to_signed: dict[str, Any] = {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": -1.0}}
    if fixed is not None and (how is None or is_byte):
        low, high = (np.asarray(v, np.float64) for v in fixed)
        gain = 2 / (high - low)
        kwargs = {"gain": gain.tolist(), "offset": (-1 - gain * low).tolist()}
        axis = {"axis": "channel"} if low.ndim else {}
        steps = [{"id": "scale_linear", "kwargs": {**axis, **kwargs}}]
    elif how == "zscore":
        steps = [{"id": "zero_mean_unit_variance", "kwargs": whole}, to_signed]
    else:
        low_high = normalization.percentiles if how == "percentile" else (0.0, 100.0)
        names = ("min_percentile", "max_percentile")
        percentiles = dict(zip(names, map(float, low_high), strict=True))
        steps = [{"id": "scale_range", "kwargs": {**whole, **percentiles}}, to_signed]
    return [as_float, *steps, as_float], kind


def preprocessed(steps: Steps, raw: Volume, space: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Apply the steps of a package that `preprocessing` made, as bioimage.io defines them."""
    values = raw.astype(np.float32)
    axes = tuple(range(2, 2 + len(space)))
    for step in steps:
        kwargs = step["kwargs"]
        if step["id"] == "scale_linear":
            each = (1, -1, *(1,) * len(space)) if "axis" in kwargs else ()
            gain, offset = (np.asarray(kwargs[k]).reshape(each) for k in ("gain", "offset"))
            values = values * gain + offset
        elif step["id"] == "scale_range":
            levels = [kwargs["min_percentile"], kwargs["max_percentile"]]
            low, high = np.percentile(values, levels, axis=axes, keepdims=True)
            values = (values - low) / (high - low + 1e-6)
        elif step["id"] == "zero_mean_unit_variance":
            mean, std = (f(values, axis=axes, keepdims=True) for f in (np.mean, np.std))
            values = (values - mean) / (std + 1e-6)
    return np.asarray(values, np.float32)
