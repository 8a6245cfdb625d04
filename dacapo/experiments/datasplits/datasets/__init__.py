"""One annotated volume."""

from dacapo.experiments.datasplits.datasets.dataset import Dataset

__all__ = ["Dataset"]
