"""`--help`: every key of a config with its value and its description."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dacapo.cli.command_line import CommandLine
from dacapo.config import ranges

_USAGE = """\
python -m dacapo.train [group=option ...] [key=value ...] [-m]

  Trains a model, validates it, and keeps scores, weights and pictures in
  runs_dir/name/repetition. Rerun the same command to resume.
  With -m, comma-separated values and range(...) are swept.

  python -m dacapo.train                          the embedded default
  python -m dacapo.train experiment=NAME          a whole recipe
  python -m dacapo.train -m task=NAME,NAME        a sweep, five repetitions each
  python -m dacapo.train --cfg job                the composed config
  python -m dacapo.compare runs_dir=runs          all runs side by side

Groups, and what can be chosen
"""


def print_help(cfg: DictConfig, line: CommandLine) -> None:
    """Describe a composed config, and what else can be chosen."""
    lines = [_USAGE]
    for group in sorted(line.groups()):
        lines.append(_filled(f"{group}={', '.join(line.options(group))}", 2, 6))
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


def describe(node: DictConfig, prefix: str = "", shown: set[Any] | None = None) -> str:
    """Every key of a composed config with its value and description, one block per key.

    Args:
        shown: classes whose keys have been listed; an entry of a dict is described once.
    """
    shown = set() if shown is None else shown
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
            text = f"[{name}] {title[0] if title and is_class else ''}".rstrip()
            blocks.append("\n" + _filled(text, 0, 2))
            blocks.append(describe(value, f"{name}.", shown))
            continue
        text_of_value = "??? (required)" if missing else _shown(node, str(key))
        text = docs.get(str(key), "")
        if str(key) in limits:
            text = f"{text} ({limits[str(key)][0]})".strip()
        text = _filled(text, 6)
        blocks.append(f"  {name}={text_of_value}" + (f"\n{text}" if text else ""))
        entry: Any = value._metadata.element_type if isinstance(value, DictConfig) else None
        if dataclasses.is_dataclass(entry) and not inspect.isabstract(entry) and entry not in shown:
            shown.add(entry)
            text = f"[{name}.NAME] {(entry.__doc__ or '').splitlines()[0]}"
            blocks.append("\n" + _filled(text, 0, 2))
            blocks.append(describe(OmegaConf.structured(entry), f"{name}.NAME.", shown))
    return "\n".join(blocks)


def _filled(text: str, indent: int, hanging: int | None = None) -> str:
    return textwrap.fill(
        text, 80, initial_indent=" " * indent, break_on_hyphens=False, break_long_words=False,
        subsequent_indent=" " * (indent if hanging is None else hanging),
    )  # fmt: skip


def _shown(node: DictConfig, key: str) -> str:
    raw = OmegaConf.to_container(node, resolve=False, enum_to_str=True)
    assert isinstance(raw, dict)
    return "null" if raw[key] is None else str(raw[key])
