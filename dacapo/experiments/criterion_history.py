"""How a criterion went over the validations of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Course:
    """The best score of each validation so far, over all parameters of the post-processor.

    Attributes:
        values: in the order of the validations; NaN where there is none.
        higher_is_better: which way the criterion goes.
    """

    values: Sequence[float] = ()
    higher_is_better: bool = False

    def improvements(self, least: float = 0.0) -> list[bool]:
        """For each validation whether it is better than all before it, by more than `least`.

        >>> Course([3.0, 2.0, math.nan, 2.5, 1.0]).improvements()
        [True, True, False, False, True]
        """
        best, found = -math.inf, []
        for value in self.values:
            height = value if self.higher_is_better else -value
            is_better = height > best + least or (best == -math.inf and not math.isnan(height))
            found.append(is_better)
            best = height if is_better else best
        return found

    def waits(self, least: float = 0.0) -> int:
        """Validations since the last improvement.

        >>> Course([3.0, 2.0, math.nan, 2.5]).waits()
        2
        """
        improvements = self.improvements(least)
        return improvements[::-1].index(True) if any(improvements) else len(improvements)
