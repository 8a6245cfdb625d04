"""The label ids of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Labels = np.ndarray[Any, np.dtype[Any]]

OBJECT = "object"


class LabelGroups:
    """Named classes, each a group of label ids; without classes, every id but 0 is an object.

    Args:
        groups: class -> ids. Labels in no group are background.
    """

    def __init__(self, groups: Mapping[str, Sequence[int]] | None = None) -> None:
        self._groups = {name: sorted(ids) for name, ids in (groups or {}).items()}
        self._ids = sorted({i for ids in self._groups.values() for i in ids})

    @property
    def are_objects(self) -> bool:
        """Whether labels are ids of objects."""
        return not self._groups

    @property
    def names(self) -> list[str]:
        return list(self._groups) or [OBJECT]

    def encode(self, labels: Tensor) -> Tensor:
        """Ids of any integer type as int32 or int64; 0 is background.

        Objects keep their identity within a crop; the ids of classes become 1, 2...
        """
        from dacapo.ops.integers import equal_to, small_ids

        if self.are_objects:
            return small_ids(labels)
        import torch

        codes = torch.zeros_like(labels, dtype=torch.int32)
        for number, label in enumerate(self._ids, start=1):
            codes.masked_fill_(equal_to(labels, label), number)
        return codes

    def members(self, codes: Tensor) -> Tensor:
        """Encoded labels (B, *spatial) -> (B, K, *spatial) bool, one channel a class."""
        if self.are_objects:
            return (codes != 0)[:, None]
        return self._members.to(codes.device)[codes.long()].movedim(-1, 1)

    @cached_property
    def _members(self) -> Tensor:
        """(1 + ids, K): whether an encoded label belongs to a class."""
        import torch

        table = [[False] * len(self._groups)]
        table += [[i in ids for ids in self._groups.values()] for i in self._ids]
        return torch.tensor(table)

    def class_masks(self, labels: Labels) -> list[Labels]:
        """A mask per named class of where labels belong to it."""
        return [np.isin(labels, ids) for ids in self._groups.values()]

    def split(self, labels: Labels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Labels as stored in a file (*spatial) -> (K, *spatial), one channel per class."""
        if self.are_objects:
            return np.asarray(labels != 0)[None]
        return np.stack([np.isin(labels, ids) for ids in self._groups.values()])
