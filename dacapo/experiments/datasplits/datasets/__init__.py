"""Annotated volumes."""

from dacapo.experiments.datasplits.datasets.dataset import Dataset, as_labels

__all__ = ["Dataset", "as_labels"]
