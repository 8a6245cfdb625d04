"""Config dataclasses: offered to Hydra, described in `--help`, written to a file and read back."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from dacapo.errors import InputError

C = TypeVar("C")

_classes: dict[str, type] = {}
_TYPE = "_type_"


def config(group: str | None) -> Callable[[type[C]], type[C]]:
    """Offer a dataclass to Hydra as an option of `group` (None: the root or a nested value).

    The class becomes a schema that a yaml file of the group names in its defaults list, and its
    name becomes readable in a saved config.
    """

    def register(cls: type[C]) -> type[C]:
        _classes[cls.__name__] = cls
        node = OmegaConf.structured(cls)
        for key in node:
            child = node._get_node(key)
            if isinstance(child, DictConfig) and OmegaConf.get_type(child) is dict:
                OmegaConf.set_struct(child, False)  # people add entries of their own
        ConfigStore.instance().store(group=group, name=cls.__name__, node=node)
        return cls

    return register


def not_identity(default: Any) -> Any:
    """A field that changes how a run is computed but not what it computes: not in its name."""
    return dataclasses.field(default=default, metadata={"identity": False})


def conf_dir() -> str:
    """The folder of yaml files: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    candidates = [package / "conf", package.parent / "conf"]
    for candidate in candidates:
        if (candidate / "train.yaml").is_file():
            return str(candidate)
    raise FileNotFoundError(f"conf/train.yaml is in neither of {[str(c) for c in candidates]}")


def encode(value: Any) -> Any:
    """Plain dicts, lists, strings and numbers; each config carries the name of its class.

    >>> encode({"a": (1, Path("x"))})
    {'a': [1, 'x']}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {_TYPE: type(value).__name__, **fields}
    if isinstance(value, dict):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else value


def decode(value: Any) -> Any:
    """The inverse of `encode`; a class is looked up among the registered ones by its name."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    if _TYPE not in value:
        return {k: decode(v) for k, v in value.items()}
    name = value[_TYPE]
    if name not in _classes:
        raise InputError(
            f"the saved config names {name!r}, which is not known here: import the module that "
            f"defines it first (known: {', '.join(sorted(_classes))})"
        )
    node = OmegaConf.structured(_classes[name])
    for key, item in value.items():
        if key != _TYPE:
            node[key] = decode(item)
    return OmegaConf.to_object(node)


def identity(node: Any) -> Any:
    """Everything in a config that decides a result, as plain data; 8 and 8.0 are one.

    >>> identity([8, 8.0, 0.5, Path("x")])
    [8, 8, 0.5, 'x']
    """
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        kept = [f.name for f in dataclasses.fields(node) if f.metadata.get("identity", True)]
        return {_TYPE: type(node).__name__, **{k: identity(getattr(node, k)) for k in kept}}
    if isinstance(node, dict):
        return {str(k): identity(v) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [identity(v) for v in node]
    plain = encode(node)
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def identity_hash(plain: Any) -> str:
    """Eight hex digits over plain data."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]


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
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                docs.pop(statement.target.id, None)
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def describe(node: DictConfig, prefix: str = "") -> str:
    """Every key of a composed config with its value and its text, one block a key."""
    cls = OmegaConf.get_type(node)
    docs = field_docs(cls) if dataclasses.is_dataclass(cls) else {}
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
        text = textwrap.fill(
            docs.get(str(key), ""), 92, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
        blocks.append(f"  {name}={shown}" + (f"\n{text}" if text else ""))
    return "\n".join(blocks)


def _shown(node: DictConfig, key: str) -> str:
    raw = OmegaConf.to_container(node, resolve=False, enum_to_str=True)
    assert isinstance(raw, dict)
    return "null" if raw[key] is None else str(raw[key])


def from_arguments(cls: type[C], arguments: Sequence[str]) -> C | None:
    """A config of `key=value` arguments; None after `--help`, which prints its keys.

    Raises:
        InputError: an argument is no `key=value`.
        OmegaConfBaseException: an unknown key or a wrong type.
    """
    node = OmegaConf.structured(cls)
    if {"--help", "-h"} & set(arguments):
        print(f"{(cls.__doc__ or '').strip()}\n\n{describe(node)}")
        return None
    for argument in arguments:
        if "=" not in argument or argument.startswith("-"):
            raise InputError(f"{argument!r} is no key=value; --help lists the keys")
    merged = OmegaConf.to_object(OmegaConf.merge(node, OmegaConf.from_dotlist(list(arguments))))
    assert isinstance(merged, cls)
    return merged
