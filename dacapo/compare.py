"""`python -m dacapo.compare runs_dir=...`: all runs side by side, in one xarray Dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.cli import run_command
from dacapo.config import Config, config, ranged
from dacapo.errors import InputError
from dacapo.experiments.datasplits import VolumeConfig
from dacapo.experiments.score_table import Rule

if TYPE_CHECKING:
    from dacapo.comparison.gather import CompareOptions

_RENEWED = 5.0
"""Seconds for which the page of serve=true counts as new."""


@config(None)
@dataclass(kw_only=True)
class TestVolumes(Config):
    """Test volumes that are named after training."""

    test: dict[str, VolumeConfig] = field(default_factory=dict)
    """Name -> volume, instead of those that the runs were trained with; options that a volume
    lacks are those of the run's data split."""


@config(None)
@dataclass(kw_only=True)
class CompareConfig(Config):
    """Collect the scores of all runs below a folder and compare them side by side."""

    runs_dir: list[str] = field(default_factory=lambda: ["runs"])
    """Folder that holds the runs, or several: runs_dir=[a,b]."""
    where: list[str] = field(default_factory=list)
    """Compare only runs that meet these conditions, such as where=[status=done,task=affinities];
    task=affinities|distance allows both."""
    group: list[str] = field(default_factory=list)
    """Compare the values of these factors alone, such as group=task: each score is the mean over
    the combinations of all other factors that were run with each value."""
    segmentation: dict[str, Any] = field(default_factory=dict)
    """Segmentations that no run has made, to be scored on the volumes of the runs (with test=true,
    on the test volumes): segmentation={ffn: ffn.h5:labels}, or, by volume,
    segmentation={ffn: {a: a.h5:labels, b: b.h5:labels}}."""
    output: str | None = None
    """The Dataset's file, .nc for netCDF or .zarr (default: comparison.nc in runs_dir,
    the first of several)."""
    test: bool = False
    """Also score the volumes of datasplit.test, with the iteration and the parameters that
    validation selected. Do this once, at the very end: a volume that has guided a choice is no
    longer a test. What is scored is kept with the run, with the time and the user."""
    datasplit: TestVolumes = field(default_factory=TestVolumes)
    """Test volumes that are named after training."""
    reason: str = ""
    """Why test volumes are opened, for the record."""
    rule: Rule = Rule.best
    """How the iteration and the parameters of a run are selected: the best, or, with three or more
    validation volumes, the earliest within one standard error of the best."""
    baseline: str | None = None
    """The configuration with which all others are compared, by its name or by what sets it apart
    (default: all pairs)."""
    margin: float | None = ranged(None, above=0)
    """A difference of scores below which configurations are as good as each other (default: every
    difference matters)."""
    json: bool = False
    """Print JSON instead of tables."""
    report: str | None = None
    """Also write a page with verdict, charts and pictures, like report.html, which works without a
    network."""

    serve: bool = False
    """Show that page in a browser of this machine, and renew it while runs are trained, until
    Ctrl-C; nothing is written."""
    port: int = ranged(0, low=0, high=65535)
    """Port for serve=true (default: any that is free)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.serve and (self.test or self.json or self.report or self.output):
            raise InputError("serve=true writes nothing: leave out test, json, report and output")
        if self.datasplit.test and not self.test:
            raise InputError("datasplit.test names volumes to score: set test=true")
        if self.group and self.segmentation:
            raise InputError("segmentation stands beside configurations: leave out group")
        if not self.runs_dir:
            raise InputError("runs_dir=[]: name a folder")
        if self.report is not None and Path(self.report).suffix != ".html":
            raise InputError(f"report={self.report}: the name must end in .html")
        if self.output is not None and Path(self.output).suffix not in (".nc", ".zarr"):
            raise InputError(f"output={self.output}: the name must end in .nc or .zarr")
        if self.output is not None and not Path(self.output).parent.is_dir():
            raise InputError(f"output={self.output}: there is no folder {Path(self.output).parent}")


def main() -> None:
    """The command line."""
    run_command(CompareConfig, compare_command)


def compare_command(options: CompareConfig) -> int:
    """Compare; the exit status is 1 when a run has failed."""
    from dacapo.comparison.gather import CompareOptions
    from dacapo.comparison.tables import compare

    runs_dir, *more = map(Path, options.runs_dir)
    output = Path(options.output) if options.output else None
    chosen = CompareOptions(
        output, options.test, options.datasplit.test, options.reason, options.baseline,
        options.margin, options.json, Path(options.report) if options.report else None,
        options.where, more, options.segmentation, options.rule, options.group,
    )  # fmt: skip
    if options.serve:
        _serve(runs_dir, chosen, options.port)
        return 0
    return 1 if compare(runs_dir, chosen) else 0


def _serve(runs_dir: Path, chosen: CompareOptions, port: int) -> None:
    """Show the page until Ctrl-C."""
    from functools import partial

    from dacapo.comparison.gather import gather
    from dacapo.comparison.report import report
    from dacapo.comparison.serve import Page, open_server
    from dacapo.runs import find_run_folders

    def look() -> tuple[str, Callable[[str], str]]:
        found = gather(runs_dir, chosen)
        state = [(r.label, r.trained_until, r.best, found.names[r.label]) for r in found.runs]
        tested = {label: record.scores for label, record in found.tested.items()}
        return repr([state, tested, found.unreadable]), partial(report, found)

    if find_run_folders(runs_dir):  # if there are none yet, the page waits for them
        gather(runs_dir, chosen)
    server, address = open_server(Page(look, _RENEWED), port)
    print(f"{address}\nCtrl-C ends the server", flush=True)
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
