"""How a post-processor reads the channels of a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Volume = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class PredictionReader:
    """PredictionReader of classes or of objects, taken out of a prediction (C, *spatial).

    Attributes:
        names: of the classes.
        classes: prediction -> (K, *spatial), one map a class, high inside.
        interior: prediction -> (*spatial), high deep inside an object, low where two touch.
        thresholds, seed_thresholds: of `classes` and `interior`, tried unless others are given.
        low, high: the range of the values.
        exclusive: the prediction's channels are background and classes that exclude each other.
    """

    names: Sequence[str]
    classes: Callable[[Volume], Volume]
    interior: Callable[[Volume], Volume]
    thresholds: Sequence[float] = (0.3, 0.5, 0.7)
    seed_thresholds: Sequence[float] = (0.4, 0.6, 0.8)
    low: float = 0.0
    high: float = 1.0
    exclusive: bool = False
