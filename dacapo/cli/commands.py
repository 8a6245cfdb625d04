"""What the commands share: arguments, and errors of one line."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dacapo.cli.command_line import check_words, expanded
from dacapo.cli.help import describe
from dacapo.cli.mistakes import explain
from dacapo.config import check_ranges
from dacapo.errors import InputError, did_you_mean, printable
from dacapo.experiments.run_config import TrainConfig
from dacapo.processes.ranks import current_ranks

C = TypeVar("C")
_OF_SINGLES = re.compile(r"list\[(str|int|float)\]")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a user error into a message on stderr and exit status 1.

    Meant for the outermost call of a program: inside a sweep a job raises, so that the other jobs
    continue.
    """
    try:
        yield
    except InputError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(explain(error, None, None))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            _exit(f"{error.filename!s:.60}...: the name is too long")
        if isinstance(error, BrokenPipeError):  # the reader of the output, such as `head`, is gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(141) from None
        raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # before training began, so there is no state to save


def run_command(cls: type[C], command: Callable[[C], int | None]) -> None:
    """Run a command with the config that its `key=value` arguments describe.

    Args:
        command: returns an exit status, or None for 0.
    """
    with one_line_errors():
        options = from_arguments(cls, sys.argv[1:])
        if options is not None and (status := command(options)):
            raise SystemExit(status)


def from_arguments(cls: type[C], arguments: Sequence[str]) -> C | None:
    """Compose a config from `key=value` arguments; None after `--help`, which prints the keys.

    Raises:
        InputError: an argument is not `key=value`, a key is unknown or required, or a value has the
            wrong type or is out of its range.
    """
    node = OmegaConf.structured(cls)
    if {"--help", "-h"} & set(arguments):
        print(f"{(cls.__doc__ or '').strip()}\n\n{describe(node)}")
        return None
    check_words(arguments)
    types = {f.name: str(f.type) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for argument in arguments:
        key, _, value = argument.partition("=")
        try:
            parsed = _parsed(expanded(value), types.get(key, ""))
            if _OF_SINGLES.match(types.get(key, "")) and _is_nested(parsed):
                raise InputError(f"{argument}: give a list of single values, such as [a,b]")
            for part in reversed(key.split(".")):
                parsed = {part: parsed}
            node = OmegaConf.merge(node, parsed)
        except OmegaConfBaseException as error:
            raise InputError(explain(error, argument, node)) from error
        except yaml.YAMLError as error:
            problem = str(getattr(error, "problem", None) or error)
            raise InputError(f"{argument}: {problem}; quote the argument in the shell") from error
    if missing := sorted(OmegaConf.missing_keys(node)):
        raise InputError(f"{', '.join(missing)}: required, give a value; --help describes the keys")
    check_ranges(node)
    options = OmegaConf.to_object(node)
    assert isinstance(options, cls)
    return options


def _is_nested(parsed: Any) -> bool:
    inner = list(parsed) if OmegaConf.is_list(parsed) or isinstance(parsed, list) else []
    return any(OmegaConf.is_config(item) for item in inner)


def _parsed(value: str, kind: str) -> Any:
    """The value of an argument; text stays as it is, and a list of texts or of whole numbers may
    lack its brackets.

    >>> _parsed("007", "str"), _parsed("a/0", "list[str]"), _parsed("8", "list[int]")
    ('007', ['a/0'], [8])
    """
    if kind.startswith("str") and value != "null":
        return value
    if kind == "list[str]" and not value.startswith("["):
        return [value]
    parsed = OmegaConf.create(f"value: {value}").value if value else value
    return [parsed] if kind == "list[int]" and isinstance(parsed, int) else parsed


def split_arguments(cls: type[C], arguments: Sequence[str]) -> tuple[C | None, list[str]]:
    """A command's own config, and the other arguments, which are those of `dacapo.train`.

    None and no arguments after `--help`.
    """
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    is_own = [a.partition("=")[0] in names or a in ("--help", "-h") for a in arguments]
    own = [a for a, is_ours in zip(arguments, is_own, strict=True) if is_ours]
    rest = [a for a, is_ours in zip(arguments, is_own, strict=True) if not is_ours]
    theirs = {f.name for f in dataclasses.fields(TrainConfig)}
    for argument in rest:
        key = argument.partition("=")[0]
        if key.isidentifier() and key not in theirs and (hint := did_you_mean(key, names)):
            raise InputError(f"{argument}: there is no key {key}{hint}")
    options = from_arguments(cls, own)
    return options, [] if options is None else rest


def _exit(message: str) -> None:
    if current_ranks().is_first:
        sys.stderr.write(f"error: {printable(message)}\n")
    raise SystemExit(1)
