"""A folder that nobody else can write in, for what a launcher sends to its jobs.

submitit, which starts the jobs, passes them a pickle, and whoever can replace a pickle runs code as
the user who reads it. So the pickles are kept out of folders that are shared, such as `runs_dir`,
and a job looks at the folder and all above it before it reads its own.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import time
from pathlib import Path

from dacapo.errors import InputError

_KEY = "hydra.launcher.folder"
_OVERFLOW = Path("/proc/sys/kernel/overflowuid")
_UID_MAP = Path("/proc/self/uid_map")


def make_private(folder: str) -> Path:
    """Create a folder for the jobs of a sweep.

    Args:
        folder: the folder in which to create it; empty: in the user's state directory.

    Raises:
        InputError: it cannot be created, or others can write in it or in a folder above it.
    """
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    base = Path(folder).absolute() if folder else Path(state) / "dacapo" / "jobs"
    path = base / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(4)}"
    try:
        for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f"{_KEY}={path}: cannot be created: {error.strerror}") from error
    path = path.resolve()  # a link could be changed after it was followed
    check_private(path)
    return path


def check_private(folder: Path) -> None:
    """Refuse a folder in which others can write, or which they can replace.

    Raises:
        InputError: it is another user's, or its permissions or those above it allow too much.
    """
    path = folder.resolve()
    found = path.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise InputError(
            f"{_KEY}={folder}: jobs are sent through it, so it must be yours alone: "
            f"chmod 700 {folder}, or give another one"
        )
    for parent in path.parents:
        found = parent.stat()
        # In a folder like /tmp everyone may write, but only the owner of a name may change it.
        is_open = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if is_open or found.st_uid not in _trusted():
            raise InputError(
                f"{_KEY}={folder}: others can change {parent}, and so replace the folder: give "
                f"one on a disk that all nodes share, below folders that only you can write in"
            )


def _trusted() -> set[int]:
    """Users who may own a folder above: us, and root, who has no number in a user namespace."""
    is_namespace = _UID_MAP.is_file() and _UID_MAP.read_text().split()[-1] != str(2**32 - 1)
    nobody = {int(_OVERFLOW.read_text())} if is_namespace and _OVERFLOW.is_file() else set()
    return {0, os.getuid(), *nobody}


def main() -> None:
    """Run a job of submitit from the folder on the command line, if it is private."""
    from submitit.core.submission import submitit_main
    from submitit.core.utils import JobPaths

    try:
        # On a cluster the name ends in %j, which stands for the number of the job.
        check_private(JobPaths.get_first_id_independent_folder(sys.argv[1]))
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    submitit_main()


if __name__ == "__main__":
    main()
