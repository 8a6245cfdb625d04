"""Print constraints that pin what the project needs directly to the lowest versions it allows.

python .ci/lowest.py TORCH: torch is the exception, as wheels of old versions bring CUDA along.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
pins = {}
for requirement in project["dependencies"]:
    name, lowest = re.match(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", requirement).groups()
    pins[name] = lowest
print("\n".join(f"{name}=={version}" for name, version in {**pins, "torch": sys.argv[1]}.items()))
