"""Packages that import heavy names only at first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable


def lazy_exports(package: str, exports: dict[str, str]) -> Callable[[str], object]:
    """A module's `__getattr__` that imports each exported name from its submodule at first use.

    Args:
        package: the package's `__name__`.
        exports: name -> submodule that defines it, relative to the package.
    """

    def __getattr__(name: str) -> object:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{exports[name]}"), name)

    return __getattr__
