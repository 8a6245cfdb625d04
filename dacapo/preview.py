"""`python -m dacapo.preview ...`: a page that shows training samples after augmentation.

It takes the arguments of `dacapo.train`, and num=4 and output=preview.html.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dacapo.cli import compose_train, one_line_errors, split_arguments
from dacapo.config import Config, config, ranged
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.files import check_writable


@config(None)
@dataclass(kw_only=True)
class PreviewConfig(Config):
    """Show training samples after augmentation. Further arguments are those of dacapo.train."""

    num: int = ranged(4, low=1)
    """Number of samples."""
    output: str = "preview.html"
    """The page to write."""


def main() -> None:
    """The command line."""
    with one_line_errors():
        options, overrides = split_arguments(PreviewConfig, sys.argv[1:])
        if options is not None:
            run_config = RunConfig.from_hydra(compose_train(overrides))
            preview(run_config, options.num, Path(options.output))


def preview(run_config: RunConfig, num: int, output: Path) -> None:
    """Write a page of the first samples of a run."""
    check_writable(output.parent, "output")
    from dacapo.experiments.run import Run
    from dacapo.figures.batch_page import batch_page
    from dacapo.processes.files import write_atomically
    from dacapo.training.terminal import console, counted

    run = Run(run_config)
    write_atomically(output, batch_page(run, num).encode())
    console.print(f"{counted(num, 'sample')} of {run.name}/{run.repetition}: {output}")


if __name__ == "__main__":
    main()
