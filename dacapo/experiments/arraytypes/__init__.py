"""The meaning of voxel values, which decides whether they may be interpolated."""

from dacapo.experiments.arraytypes.arraytype import (
    AnnotationArray,
    ArrayType,
    BinaryArray,
    DistanceArray,
    EmbeddingArray,
    IntensitiesArray,
    MaskArray,
    ProbabilityArray,
)

__all__ = [
    "AnnotationArray",
    "ArrayType",
    "BinaryArray",
    "DistanceArray",
    "EmbeddingArray",
    "IntensitiesArray",
    "MaskArray",
    "ProbabilityArray",
]
