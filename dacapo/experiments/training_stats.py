"""The training history of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dacapo.experiments.training_iteration_stats import TrainingIterationStats

if TYPE_CHECKING:
    import xarray as xr


@dataclass
class TrainingStats:
    """Steps 0, 1, 2, ... without a gap."""

    iteration_stats: list[TrainingIterationStats] = field(default_factory=list)

    def add_iteration_stats(self, iteration_stats: TrainingIterationStats) -> None:
        """Append the next step.

        Raises:
            AssertionError: the step is not the next one.
        """
        expected = self.trained_until()
        if iteration_stats.iteration != expected:
            raise AssertionError(
                f"training stats of iteration {iteration_stats.iteration} do not follow: "
                f"expected iteration {expected}"
            )
        self.iteration_stats.append(iteration_stats)

    def delete_after(self, iteration: int) -> None:
        """Keep only the steps below `iteration`, which lead to weights trained until then."""
        self.iteration_stats = [s for s in self.iteration_stats if s.iteration < iteration]

    def trained_until(self) -> int:
        """Number of steps done."""
        return self.iteration_stats[-1].iteration + 1 if self.iteration_stats else 0

    def to_xarray(self) -> xr.DataArray:
        """Losses along `iterations`."""
        import xarray as xr

        return xr.DataArray(
            [s.loss for s in self.iteration_stats],
            dims=["iterations"],
            coords={"iterations": [s.iteration for s in self.iteration_stats]},
            name="loss",
        )
