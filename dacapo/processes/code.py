"""Which code is running."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dacapo import __version__
from dacapo.config import user_modules

_LIBRARIES = ("torch", "numpy", "scipy", "monai")
_TIMEOUT = 10
_PLAIN = ("HEAD", "--no-ext-diff", "--no-textconv")


def code_state() -> dict[str, Any]:
    """What ran: the version, the git commit of this package and a digest of what differs from it,
    digests of the user's own modules, and the versions of libraries. Empty texts are unknown."""
    package = Path(__file__).resolve().parents[1]
    return {
        "version": __version__,
        **_commit(package),
        "modules": {name: _digest(name) for name in sorted(user_modules())},
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "python": platform.python_version(),
    }


def code_changes() -> bytes:
    """What a commit alone does not tell of the code that runs: changes of this package that are not
    committed, as a patch, and the user's own modules."""
    package = Path(__file__).resolve().parents[1]
    parts = [_git(package, "diff", *_PLAIN, "--", ".")] if _is_tracked(package) else []
    for name in sorted(user_modules()):
        file = _source(name)
        if file is not None:
            parts.append(f"### {name}: {file.name}\n".encode() + file.read_bytes())
    return b"\n".join(part for part in parts if part)


def describe(code: dict[str, Any]) -> str:
    """The code in a few words, equal for equal code.

    >>> describe({"version": "1.0", "commit": "0123456789", "changes": "ab12cd34", "modules": {}})
    '1.0 at 0123456 with changes ab12cd34'
    """
    text = str(code.get("version", "")) or "unknown"
    if code.get("commit"):
        text += f" at {str(code['commit'])[:7]}"
    if code.get("changes"):
        text += f" with changes {code['changes']}"
    modules = code.get("modules") or {}
    if modules:
        text += " and " + ", ".join(f"{name} {digest}" for name, digest in sorted(modules.items()))
    return text


def _commit(package: Path) -> dict[str, str]:
    """The commit, and a digest of changes that are not committed."""
    if not _is_tracked(package):
        return {"commit": "", "changes": ""}
    commit = _git(package, "rev-parse", "HEAD").decode().strip()
    changes = _git(package, "diff", *_PLAIN, "--", ".")
    return {"commit": commit, "changes": hashlib.sha256(changes).hexdigest()[:8] if changes else ""}


def _is_tracked(package: Path) -> bool:
    """A package that is installed may lie in the folder of a repository that does not track it."""
    return bool(_git(package, "ls-files", "--error-unmatch", "__init__.py"))


def _git(folder: Path, *arguments: str) -> bytes:
    """The output of git; empty if it fails or is missing."""
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def _digest(module: str) -> str:
    """Of a module's source."""
    file = _source(module)
    return "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()[:8]


def _source(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file is not None and Path(file).is_file() else None


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
