"""The one exception that means: a person can mend this."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dacapo.processes.ranks import current_ranks


class InputError(ValueError):
    """A mistake in what a person gave us: a config, a file, a folder.

    The message says what was wrong, where, the value, and the key to change. The command line
    shows it without a traceback; every other exception is ours and keeps its traceback.
    """


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a person's mistake into a message on stderr and exit status 1.

    Meant for the outermost call of a program: inside a sweep a job raises, so that the jobs
    beside it go on.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except InputError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(_readable(error))
    except BrokenPipeError:  # whoever reads the output has enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # before training began: nothing to save or to explain


def _exit(message: str) -> None:
    if current_ranks().is_first:
        sys.stderr.write(f"error: {message}\n")
    raise SystemExit(1)


def _readable(error: BaseException) -> str:
    """Hydra's message and its cause, without what only its developers need."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines += str(cause).splitlines()
        cause = cause.__cause__
    kept: list[str] = []
    for line in lines:
        text = line.strip()
        if text.startswith(("Config search path", "full_key", "reference_type", "object_type")):
            if text.startswith("Config search path"):
                break
            continue
        if text and text not in kept and not text.startswith("To append to your config"):
            kept.append(text)
    return "\n  ".join(kept)
