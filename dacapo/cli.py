"""What the commands share: arguments, `--help`, and errors of one line."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from dacapo.config import check_ranges, conf_dir, ranges
from dacapo.errors import InputError, printable
from dacapo.processes.ranks import current_ranks

C = TypeVar("C")

_USAGE = """\
python -m dacapo.train [group=option ...] [key=value ...] [-m]

  Trains a model, validates it, and keeps scores, weights and pictures in
  runs_dir/name/repetition. Rerun the same command to resume.
  With -m, comma-separated values and range(...) are swept.

  python -m dacapo.train                                     the embedded default
  python -m dacapo.train experiment=NAME                     a whole recipe
  python -m dacapo.train -m trainer.learning_rate=1e-3,3e-4  a sweep, three repetitions each
  python -m dacapo.train --cfg job                           the composed config
  python -m dacapo.compare runs_dir=runs                     all runs side by side

Groups, and what can be chosen
"""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a user error into a message on stderr and exit status 1.

    Meant for the outermost call of a program: inside a sweep a job raises, so that the other jobs
    continue.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except InputError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(_readable(error))
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
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
        InputError: an argument is not `key=value`, or a number is out of its range.
        OmegaConfBaseException: an unknown key or a wrong type.
    """
    node = OmegaConf.structured(cls)
    if {"--help", "-h"} & set(arguments):
        print(f"{(cls.__doc__ or '').strip()}\n\n{describe(node)}")
        return None
    for argument in arguments:
        if "=" not in argument or argument.startswith("-"):
            raise InputError(f"{argument!r} is not key=value; --help lists the keys")
    lists = {f.name for f in dataclasses.fields(cls) if f.type == "list[str]"}  # type: ignore[arg-type]
    merged = OmegaConf.merge(
        node, OmegaConf.from_dotlist([_as_list(argument, lists) for argument in arguments])
    )
    check_ranges(merged)
    options = OmegaConf.to_object(merged)
    assert isinstance(options, cls)
    return options


def _as_list(argument: str, lists: Collection[str]) -> str:
    """A single value of a list of texts may come without brackets.

    >>> _as_list("run=a/0", ["run"]), _as_list("run=[a/0]", ["run"])
    ('run=[a/0]', 'run=[a/0]')
    """
    key, _, value = argument.partition("=")
    return f"{key}=[{value}]" if key in lists and not value.startswith("[") else argument


def compose_train(overrides: Sequence[str]) -> DictConfig:
    """The config that the arguments of `python -m dacapo.train` compose."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def split_arguments(cls: type[C], arguments: Sequence[str]) -> tuple[C | None, list[str]]:
    """A command's own config, and the other arguments, which are those of `dacapo.train`.

    None and no arguments after `--help`.
    """
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    is_own = [a.partition("=")[0] in names or a in ("--help", "-h") for a in arguments]
    own = [a for a, is_ours in zip(arguments, is_own, strict=True) if is_ours]
    rest = [a for a, is_ours in zip(arguments, is_own, strict=True) if not is_ours]
    options = from_arguments(cls, own)
    return options, rest if options is not None else []


def print_help(arguments: Sequence[str]) -> None:
    """Describe the config that the arguments compose."""
    folder = Path(conf_dir())
    cfg = compose_train([a for a in arguments if "=" in a and not a.startswith("-")])
    lines = [_USAGE]
    for group in sorted({p.parent for p in folder.glob("**/*.yaml")} - {folder}):
        options = ", ".join(sorted(p.stem for p in group.glob("*.yaml")))
        lines.append(f"  {group.relative_to(folder)}={options}")
    lines += ["\nKeys, with the values for these arguments", describe(cfg)]
    print("\n".join(lines))


@cache
def field_docs(cls: type) -> dict[str, str]:
    """The string below each field of a config class, base classes included."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(text)):
                    docs[name] = " ".join(str(text).split())
    return docs


def describe(node: DictConfig, prefix: str = "") -> str:
    """Every key of a composed config with its value and description, one block per key."""
    cls = OmegaConf.get_type(node)
    docs = field_docs(cls) if dataclasses.is_dataclass(cls) else {}
    limits = ranges(cls)
    blocks = []
    for key in node:
        name = f"{prefix}{key!s}"
        missing = OmegaConf.is_missing(node, key)
        value = None if missing else node._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and len(value):
            title = (OmegaConf.get_type(value).__doc__ or "").strip().splitlines()
            is_class = dataclasses.is_dataclass(OmegaConf.get_type(value))
            blocks.append(f"\n[{name}] {title[0] if title and is_class else ''}".rstrip())
            blocks.append(describe(value, f"{name}."))
            continue
        shown = "??? (required)" if missing else _shown(node, str(key))
        text = docs.get(str(key), "")
        if str(key) in limits:
            text = f"{text} ({limits[str(key)][0]})".strip()
        text = textwrap.fill(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
        blocks.append(f"  {name}={shown}" + (f"\n{text}" if text else ""))
    return "\n".join(blocks)


def _shown(node: DictConfig, key: str) -> str:
    raw = OmegaConf.to_container(node, resolve=False, enum_to_str=True)
    assert isinstance(raw, dict)
    return "null" if raw[key] is None else str(raw[key])


def _exit(message: str) -> None:
    if current_ranks().is_first:
        sys.stderr.write(f"error: {printable(message)}\n")
    raise SystemExit(1)


def _readable(error: BaseException) -> str:
    """Hydra's message and its cause, without the parts meant for its developers."""
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
