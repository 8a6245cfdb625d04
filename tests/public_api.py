"""The public API, as a text: each name of the documentation with its members and signatures.

`python -m tests.public_api` rewrites `golden/api.txt`: read the difference before committing it. A
name that goes is announced a release earlier; see docs/reference/api.md.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden" / "api.txt"
_PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"


def text() -> str:
    """All public names, one per line."""
    names = re.findall(r"^\.\. auto(?:class|function):: (\S+)$", _PAGE.read_text(), re.MULTILINE)
    assert names
    return "".join(f"{line}\n" for name in names for line in _described(name))


def _described(name: str) -> Iterator[str]:
    module, _, last = name.rpartition(".")
    thing = getattr(importlib.import_module(module), last)
    yield f"{name}{_signature(thing)}"
    if not inspect.isclass(thing):
        return
    members = {n: m for cls in reversed(thing.__mro__) for n, m in vars(cls).items()
               if cls.__module__.startswith("dacapo.")}  # fmt: skip
    fields = {n for cls in thing.__mro__ for n in vars(cls).get("__annotations__", {})
              if cls.__module__.startswith("dacapo.")}  # fmt: skip
    for member in sorted({*members, *fields}):
        if not member.startswith("_"):
            yield f"    {member}{_signature(members.get(member))}"


def _signature(thing: Any) -> str:
    """Names of parameters, and which have a default."""
    thing = getattr(thing, "__func__", thing)
    if not callable(thing):
        return ""
    parameters = inspect.signature(thing).parameters.values()
    return "({})".format(
        ", ".join(f"{p.name}{'' if p.default is p.empty else '=...'}" for p in parameters)
    )


if __name__ == "__main__":
    GOLDEN.write_text(text())
