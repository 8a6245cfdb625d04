"""Volumes on a grid in world units, read from files without loading them."""

from dacapo.arrays.array import Array
from dacapo.arrays.open import ReadOptions, open_array

__all__ = ["Array", "ReadOptions", "open_array"]
