"""Config dataclasses: registered with Hydra, checked, saved and loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from inspect import isabstract
from math import inf, isfinite
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dacapo.errors import InputError

C = TypeVar("C")

_classes: dict[str, type] = {}
_groups: dict[type, str] = {}
_TYPE = "_type_"


class Config:
    """Base of all config dataclasses: a new object checks its declared ranges.

    A subclass that checks more calls `super().__post_init__()` first.
    """

    def __post_init__(self) -> None:
        check_ranges(self, self.config_key())

    @classmethod
    def config_key(cls) -> str:
        """The dotted key under which an option of this class is set on the command line."""
        return _groups.get(cls, "").replace("/", ".")


def config(group: str | None) -> Callable[[type[C]], type[C]]:
    """Register a dataclass with Hydra as an option of `group` (None: the root or a nested value).

    The class becomes a schema that a yaml file of the group names in its defaults list, and a saved
    config can be loaded by the name of the class.
    """

    def register(cls: type[C]) -> type[C]:
        _classes[cls.__name__] = cls
        _groups[cls] = group or ""
        node = OmegaConf.structured(cls)
        for key in node:
            child = node._get_node(key)
            if isinstance(child, DictConfig) and OmegaConf.get_type(child) is dict:
                OmegaConf.set_struct(child, False)  # users add entries of their own
        ConfigStore.instance().store(group=group, name=cls.__name__, node=node)
        return cls

    return register


@dataclass(frozen=True)
class Range:
    """The numbers that a field accepts. Lists are checked element by element.

    Attributes:
        low, high: inclusive bounds.
        above, below: exclusive bounds.
        is_interval: the value is a list [low, high] with low <= high.
        is_strict: of an interval, low < high.
    """

    low: float = -inf
    high: float = inf
    above: float = -inf
    below: float = inf
    is_interval: bool = False
    is_strict: bool = False

    def __contains__(self, value: float) -> bool:
        inside = self.low <= value <= self.high and self.above < value < self.below
        return inside and -inf < value < inf

    def __str__(self) -> str:
        """The range in words.

        >>> str(Range(low=1)), str(Range(above=0, below=1)), str(Range(low=0, high=1))
        ('at least 1', 'greater than 0 and less than 1', 'between 0 and 1')
        """
        if self.low > -inf and self.high < inf:
            return f"between {self.low:g} and {self.high:g}"
        named = (
            ("at least", self.low), ("greater than", self.above),
            ("at most", self.high), ("less than", self.below),
        )  # fmt: skip
        bounds = " and ".join(f"{text} {v:g}" for text, v in named if abs(v) < inf)
        return bounds or "any number"


def ranged(
    default: Any = dataclasses.MISSING,
    *,
    low: float = -inf,
    high: float = inf,
    above: float = -inf,
    below: float = inf,
    identity: bool = True,
    scoring: bool = False,
) -> Any:
    """A field for a number, or a list of numbers, with the range in which each must lie.

    Args:
        low, high: inclusive bounds.
        above, below: exclusive bounds.
        identity: False if the option changes how a run is computed, but not its result.
        scoring: see `scores_only`.
    """
    return _field(default, Range(low, high, above, below), identity, scoring)


def interval(
    default: list[Any] | None, *, low: float = -inf, high: float = inf, strict: bool = False
) -> Any:
    """A field for an interval [low, high] within these bounds; strict: low < high."""
    return _field(default, Range(low, high, is_interval=True, is_strict=strict), True)


def not_identity(default: Any) -> Any:
    """A field that changes how a run is computed but not its result: no part of its identity."""
    return _field(default, None, False)


def scores_only(default: Any = dataclasses.MISSING) -> Any:
    """A field that decides how weights are scored, but not the weights: part of a run's identity
    only if scores decide its training."""
    return _field(default, None, True, True)


def scoring_fields(node: Any) -> list[str]:
    """The names of the fields of a config that `scores_only` marks."""
    return [f.name for f in dataclasses.fields(node) if f.metadata.get("scoring", False)]


def _field(default: Any, limits: Range | None, identity: bool, scoring: bool = False) -> Any:
    metadata = {"range": limits, "identity": identity, "scoring": scoring}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_ranges(node: Any, key: str = "") -> None:
    """Refuse numbers outside the range that their field declares.

    Args:
        node: a config object, whose own fields are checked; or a composed config, which is checked
            with everything nested in it.
        key: the key of the node, for messages.

    Raises:
        InputError: names the full key of the number, its value and the range.
    """
    if not isinstance(node, DictConfig):
        for name, (limits, nullable) in ranges(type(node)).items():
            _check_range(getattr(node, name), limits, nullable, f"{key}.{name}".lstrip("."))
        return
    nested = {}
    own = ranges(OmegaConf.get_type(node))
    for field in map(str, node):
        child = f"{key}.{field}".lstrip(".")
        value = None if OmegaConf.is_missing(node, field) else node[field]
        if isinstance(value, DictConfig):
            nested[child] = value
        elif field in own:
            plain = OmegaConf.to_container(value) if OmegaConf.is_list(value) else value
            _check_range(plain, *own[field], child)
    for child, value in nested.items():  # after the node's own keys, to which nested ones may refer
        check_ranges(value, child)


def ranges(cls: Any) -> dict[str, tuple[Range, bool]]:
    """Field -> its range and whether it may be null, for all fields that declare a range."""
    if not dataclasses.is_dataclass(cls):
        return {}
    return {
        f.name: (f.metadata["range"], "None" in str(f.type))
        for f in dataclasses.fields(cls)
        if f.metadata.get("range") is not None
    }


def registered(name: str) -> type | None:
    """The config class of this name."""
    return _classes.get(name)


def entry_fields(group: str) -> set[str]:
    """The fields of a group's classes that map names to configs, such as train of datasplit."""
    entries = {
        f"dict[str, {name}]" for name, cls in _classes.items()
        if not _groups[cls] and not isabstract(cls)
    }  # fmt: skip
    classes: list[Any] = [cls for cls, of_group in _groups.items() if of_group == group]
    return {f.name for cls in classes for f in dataclasses.fields(cls) if str(f.type) in entries}


def without_influence() -> set[str]:
    """The keys of options that change how a run is computed, but not its result."""
    return {
        f"{group}.{f.name}"
        for cls, group in _groups.items()
        for f in dataclasses.fields(cls)
        if not f.metadata.get("identity", True)
    }


def options_with(group: str, field: str) -> list[str]:
    """The options of a group whose class has a field, by the yaml files that name the class."""
    of_group: list[Any] = [cls for cls, its_group in _groups.items() if its_group == group]
    classes = [c.__name__ for c in of_group if field in {f.name for f in dataclasses.fields(c)}]
    return sorted(
        path.stem
        for path in Path(conf_dir(), group).glob("*.yaml")
        if any(name in path.read_text() for name in classes)
    )


def user_modules() -> set[str]:
    """The modules outside of this package that have registered config classes."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    main = "__main__" if spec is None else spec.name  # `python -m` runs a module as __main__
    own = __name__.partition(".")[0]
    modules = {cls.__module__ for cls in _classes.values()}
    return {
        name for name in modules
        if (main if name == "__main__" else name).partition(".")[0] != own
    }  # fmt: skip


def _check_range(value: Any, limits: Range, nullable: bool, key: str) -> None:
    if value is None and nullable:
        return
    numbers = list(_numbers(value, allow_null=nullable))
    good = all(isinstance(number, Real) and float(number) in limits for number in numbers)
    if limits.is_interval:
        good = good and len(numbers) == 2 and numbers[0] <= numbers[1]
        if not good or (limits.is_strict and numbers[0] == numbers[1]):
            both = "different and" if limits.is_strict else "both"
            raise InputError(f"{key}={value}: give [low, high] in that order, {both} {limits}")
    elif not good:
        is_finite = all(isinstance(number, Real) and isfinite(number) for number in numbers)
        must = (
            f"must be {'' if is_finite else 'a finite number, '}{limits}{' (or null)' * nullable}"
        )
        if isinstance(value, list | tuple):
            raise InputError(f"{key}={value}: every number {must}")
        raise InputError(f"{key}={value} {must}")


def _numbers(value: Any, allow_null: bool) -> Iterator[Any]:
    """The leaves of nested lists, tuples or arrays."""
    if hasattr(value, "tolist"):  # of numpy, also a scalar
        value = value.tolist()
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, allow_null)
    elif value is not None or not allow_null:
        yield value


def conf_dir() -> str:
    """The folder of yaml files: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).resolve().parent
    candidates = [package / "conf", package.parent / "conf"]
    for candidate in candidates:
        if (candidate / "train.yaml").is_file():
            return str(candidate)
    raise FileNotFoundError(
        f"conf/train.yaml was not found in any of {[str(c) for c in candidates]}"
    )


def encode(value: Any) -> Any:
    """Convert to plain dicts, lists, strings and numbers; each config carries its class name.

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


def decode(value: Any, key: str = "") -> Any:
    """The inverse of `encode`; a class is looked up among the registered ones by its name.

    Raises:
        InputError: a class is not registered, or a text would be resolved, as in
            "${oc.env:TOKEN}". A saved config may be another's; it holds plain values only.
    """
    if isinstance(value, str) and ("${" in value or value == "???"):
        raise InputError(
            f"the saved config has {key}={value}, which is not a plain value: whoever wrote it may "
            f"want it to be resolved on your machine"
        )
    if isinstance(value, list):
        return [decode(v, f"{key}[{i}]") for i, v in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if _TYPE not in value:
        return {k: decode(v, f"{key}.{k}".lstrip(".")) for k, v in value.items()}
    name = value[_TYPE]
    if not isinstance(name, str) or name not in _classes:
        raise InputError(
            f"the saved config names {name!r}, which is not registered: first import the module "
            f"that defines it, in a script as in docs/how-to/extend.md"
        )
    node = OmegaConf.structured(_classes[name])
    for field, item in value.items():
        if field != _TYPE:
            inner = f"{key}.{field}".lstrip(".")
            plain = decode(item, inner)
            try:
                node[field] = plain
            except OmegaConfBaseException as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"the saved config has a wrong {inner}: {reason}") from error
    return OmegaConf.to_object(node)


def identity(node: Any, with_scoring: bool = True) -> Any:
    """All options of a config that determine its result, as plain data; 8 and 8.0 are equal.

    >>> identity([8, 8.0, 0.5, Path("x")])
    [8, 8, 0.5, 'x']

    Args:
        with_scoring: whether scores are part of the result; see `scores_only`.
    """
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        left_out = [] if with_scoring else scoring_fields(node)
        kept = [
            f.name for f in dataclasses.fields(node)
            if f.metadata.get("identity", True) and f.name not in left_out
        ]  # fmt: skip
        values = {k: identity(getattr(node, k), with_scoring) for k in kept}
        return {_TYPE: type(node).__name__, **values}
    if isinstance(node, dict):
        return {str(k): identity(v, with_scoring) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [identity(v, with_scoring) for v in node]
    plain = encode(node)
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def identity_hash(plain: Any) -> str:
    """A digest of plain data, in eight hex digits."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
