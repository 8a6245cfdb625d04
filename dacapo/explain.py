"""`python -m dacapo.explain path=...`: how a run, a checkpoint, a Dataset or an image was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dacapo.cli import run_command
from dacapo.config import Config, config
from dacapo.errors import printable


@config(None)
@dataclass(kw_only=True)
class ExplainConfig(Config):
    """Print how something was made: code, data, options, seed, machine and scores."""

    path: str
    """A run (folder, or name/repetition below runs_dir), a checkpoint, a Dataset of dacapo.compare,
    an image of dacapo.predict or dacapo.segment, or a package of dacapo.export."""
    runs_dir: str = "runs"
    """Folder that holds the runs."""
    json: bool = False
    """Print JSON instead of YAML."""


def main() -> None:
    """The command line."""
    run_command(ExplainConfig, explain_command)


def explain_command(options: ExplainConfig) -> None:
    """Print what is known."""
    import json

    from dacapo.comparison.provenance import explain, plain_text

    found = explain(options.path, Path(options.runs_dir))
    if options.json:
        print(json.dumps(found, indent=2, default=str))
        return
    for line in plain_text(found).splitlines():
        print(printable(line))


if __name__ == "__main__":
    main()
