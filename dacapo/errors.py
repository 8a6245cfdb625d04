"""Errors that the user can correct, and warnings."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A user error: something is wrong with a config, a file or a folder.

    The message says what was wrong, where, the value, and the key to change. The command line shows
    it without a traceback; every other exception is a bug and keeps its traceback.
    """


def warn(message: str) -> None:
    """Tell the user of something that does not end the work."""
    sys.stderr.write(f"warning: {printable(message)}\n")


def printable(text: str) -> str:
    r"""A text of unknown origin without what a terminal would obey, such as an escape sequence.

    >>> printable("a\x1b[2Jb\u202ec")
    'a\\x1b[2Jb\\u202ec'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6, prefix: str = "") -> str:
    """A question to append to a message about an unknown word; empty if nothing is similar.

    Args:
        cutoff: how similar, from 0 to 1.
        prefix: what comes before each of the known words.

    >>> did_you_mean("afinities", ["affinities", "distance"]), did_you_mean("x", ["distance"])
    ('; did you mean affinities?', '')
    """
    wanted = word.lower().replace("_", "")
    names = {name.lower().replace("_", ""): name for name in known}
    close = [name for name in names if len(wanted) > 3 and name.startswith(wanted)]
    close = close or get_close_matches(wanted, names, 1, cutoff)
    return f"; did you mean {prefix}{names[close[0]]}?" if close else ""
