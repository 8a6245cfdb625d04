"""A criterion over the validations of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CriterionHistory:
    """The best score of each validation so far, over all parameters of the post-processor.

    Attributes:
        values: in the order of the validations; NaN where there is none.
        higher_is_better: the direction of the criterion.
    """

    values: Sequence[float] = ()
    higher_is_better: bool = False

    def improvements(self, min_delta: float = 0.0) -> list[bool]:
        """For each validation whether it is better than all before it, by more than `min_delta`.

        >>> CriterionHistory([3.0, 2.0, math.nan, 2.5, 1.0]).improvements()
        [True, True, False, False, True]
        """
        best, found = -math.inf, []
        for value in self.values:
            height = value if self.higher_is_better else -value
            is_better = height > best + min_delta or (best == -math.inf and not math.isnan(height))
            found.append(is_better)
            best = height if is_better else best
        return found

    def num_bad_validations(self, min_delta: float = 0.0) -> int:
        """Validations since the last improvement.

        >>> CriterionHistory([3.0, 2.0, math.nan, 2.5]).num_bad_validations()
        2
        """
        improvements = self.improvements(min_delta)
        return improvements[::-1].index(True) if any(improvements) else len(improvements)
