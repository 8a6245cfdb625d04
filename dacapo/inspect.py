"""`python -m dacapo.inspect datasplit=...`: describe the data, and warn of common mistakes.

It takes the arguments of `dacapo.train`, and output=inspect.html.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from dacapo.cli import compose_train, one_line_errors, split_arguments
from dacapo.config import Config, check_ranges, config
from dacapo.errors import InputError
from dacapo.experiments.datasplits import DataSplitConfig
from dacapo.experiments.preflight import check_fit
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.files import check_writable

if TYPE_CHECKING:
    from dacapo.experiments.datasplits import DataSplit


@config(None)
@dataclass(kw_only=True)
class InspectConfig(Config):
    """Describe the data of a training, and warn of common mistakes.

    Further arguments are those of dacapo.train, such as datasplit=regions datasplit.raw=vol.h5:raw
    datasplit.gt=vol.h5:labels.
    """

    output: str = "inspect.html"
    """The page to write, with pictures."""


def main() -> None:
    """The command line."""
    with one_line_errors():
        options, overrides = split_arguments(InspectConfig, sys.argv[1:] or ["--help"])
        if options is not None:
            inspect(compose_train(overrides), Path(options.output))


def inspect(cfg: DictConfig, output: Path) -> None:
    """Print a table and the warnings, and write a page with pictures."""
    check_writable(output.parent, "output")
    missing = sorted(k for k in OmegaConf.missing_keys(cfg) if k.startswith("datasplit."))
    if missing:
        raise InputError(f"{', '.join(missing)}: required, give a value")
    check_ranges(cfg.datasplit, "datasplit")
    datasplit = OmegaConf.to_object(cfg.datasplit)
    assert isinstance(datasplit, DataSplitConfig)
    classes = OmegaConf.select(cfg, "task.classes", throw_on_missing=False) or {}
    from dacapo.figures.data_page import DataReport
    from dacapo.processes.files import write_atomically
    from dacapo.training.terminal import console, counted, print_table

    data = datasplit.build()
    report = DataReport(data, {str(k): list(v) for k, v in classes.items()})
    report.warnings += _refusal(cfg, data, report.warnings)
    print_table("Data", report.columns, report.rows)
    for warning in report.warnings:
        console.print(f"warning: {warning}")
    write_atomically(output, report.page().encode())
    volumes = counted(len(report.rows), "volume")
    warnings = counted(len(report.warnings), "warning")
    console.print(f"{volumes}, {warnings}; pictures: {output}")


def _refusal(cfg: DictConfig, datasplit: DataSplit, known: Sequence[str]) -> list[str]:
    """Why training with the same arguments would refuse the data, unless that is known already."""
    try:
        run_config = RunConfig.from_hydra(cfg)
        check_fit(run_config, datasplit)
        from dacapo.experiments.run import Run
        from dacapo.inference.scoring import check_scorable

        check_scorable(Run(run_config, datasplit=datasplit).task, datasplit.validate)
    except InputError as error:
        if any(str(error) in warning for warning in known):
            return []
        return [f"dacapo.train with these arguments would refuse the data: {error}"]
    return []


if __name__ == "__main__":
    main()
