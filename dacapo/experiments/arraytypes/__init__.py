"""What the value of a voxel means, and so whether it may be interpolated."""

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
