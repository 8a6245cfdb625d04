"""`--help`: every group with its options, every key with its value and its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir

from dacapo.config import conf_dir, describe

_USAGE = """\
python -m dacapo.train [group=option ...] [key=value ...] [-m]

  Trains a model, validates it, and keeps scores, weights and pictures in
  runs_dir/name/repetition. The same command goes on where it stopped.
  With -m, comma-separated values and range(...) are swept.

  python -m dacapo.train                                     the embedded default
  python -m dacapo.train experiment=NAME                     a whole recipe
  python -m dacapo.train -m trainer.learning_rate=1e-3,3e-4  a sweep, three repetitions each
  python -m dacapo.train --cfg job                           the composed config
  python -m dacapo.compare runs_dir=runs                     all runs beside each other

Groups, and what can be chosen
"""


def print_help(arguments: Sequence[str]) -> None:
    """Describe the config that the arguments compose."""
    folder = Path(conf_dir())
    overrides = [a for a in arguments if "=" in a and not a.startswith("-")]
    with initialize_config_dir(str(folder), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    lines = [_USAGE]
    for group in sorted({p.parent for p in folder.glob("**/*.yaml")} - {folder}):
        options = ", ".join(sorted(p.stem for p in group.glob("*.yaml")))
        lines.append(f"  {group.relative_to(folder)}={options}")
    lines += ["\nKeys, with the values that these arguments give", describe(cfg)]
    print("\n".join(lines))
