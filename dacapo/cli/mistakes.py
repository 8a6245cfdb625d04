"""Say what is wrong with an argument, in the words of who typed it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    ConfigTypeError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from dacapo.config import options_with, registered
from dacapo.errors import did_you_mean

_ELSEWHERE = {
    "lr": "trainer.learning_rate", "epochs": "num_iterations", "steps": "num_iterations",
    "iterations": "num_iterations", "max_iterations": "num_iterations", "seed": "repetition",
    "workers": "trainer.num_workers", "data": "datasplit", "model": "architecture",
    "network": "architecture", "loss": "task", "output": "runs_dir", "gpu": "trainer.device",
}  # fmt: skip
"""What other programs call some of our keys."""
_FOR_DEVELOPERS = ("full_key", "reference_type", "object_type", "To append to your config", "See h")
_TYPES = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def explain(error: BaseException, typed: str | None, root: DictConfig | None) -> str:
    """The message for an error that Hydra or OmegaConf raised.

    Args:
        typed: the argument that is to blame; None if it is not known.
        root: the config with the groups that were chosen, to find keys that are meant.
    """
    cause = _cause(error)
    if cause is None:
        return _shortened(error)
    key = str(cause.full_key or cause.key or "")
    typed_key = "" if typed is None else typed.partition("=")[0].lstrip("+~")
    if not (typed_key.startswith(key.partition("[")[0]) or key.startswith(typed_key)):
        key = typed_key  # OmegaConf names only the last part of some keys
    place = _file(error)
    if typed is None and place:
        typed = f"{place}: {key}" if key else place
    subject = typed or key
    if place.startswith(f"{key}/") and isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return f"{place}: its first line has to be `# @package _global_`"
    text = str(cause).splitlines()[0]
    match cause:
        case ConfigAttributeError() | ConfigKeyError():
            node = cause.parent_node
            names = [str(n) for n in node] if isinstance(node, DictConfig) else []
            names = [name for name in names if name != "hydra"]
            return f"{subject}: {_unknown(key, names, root)}"
        case MissingMandatoryValue():
            return f"{text.rpartition(': ')[2] or subject}: required, give a value"
        case ValidationError() | ConfigTypeError():
            return f"{subject}: {_wrong_value(cause, key, text, root)}"
    return _shortened(error)


def _cause(error: BaseException | None) -> OmegaConfBaseException | None:
    """The error of OmegaConf that names a key."""
    while error is not None:
        if isinstance(error, OmegaConfBaseException) and (error.full_key or error.msg):
            return error
        error = error.__cause__ or error.__context__
    return None


def _file(error: BaseException) -> str:
    """The yaml file that is to blame, from a message like "In 'experiment/mine': ..."."""
    found = re.match(r"In '([^']+)'", str(error))
    return f"{found[1]}.yaml" if found else ""


def _unknown(key: str, siblings: list[str], root: DictConfig | None) -> str:
    parent, _, last = key.rpartition(".")
    text = f"there is no key {key}"
    if last in _ELSEWHERE and not parent:
        return f"{text}; did you mean {_ELSEWHERE[last]}?"
    if close := did_you_mean(last, siblings, prefix=f"{parent}." if parent else ""):
        return text + close
    same = [k for k in (() if root is None else _keys(root)) if k.rpartition(".")[2] == last]
    if same:
        return f"{text}; did you mean {' or '.join(same[:3])}?"
    elsewhere = options_with(parent, last)
    if elsewhere:
        return f"{text}; it is a key of {', '.join(f'{parent}={e}' for e in elsewhere)}"
    within = f"{parent} has the keys" if parent else "the keys are"
    return f"{text}; {within} {', '.join(siblings)}" if siblings else text


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in map(str, node):
        yield prefix + name
        if not OmegaConf.is_missing(node, name) and isinstance(child := node[name], DictConfig):
            yield from _keys(child, f"{prefix}{name}.")


def _wrong_value(
    cause: OmegaConfBaseException, key: str, text: str, root: DictConfig | None
) -> str:
    if found := re.search(r"could not be converted to (\w+)", text):
        wanted = _TYPES.get(found[1], found[1])
        return f"give {wanted}{_as_whole(cause, found[1])}"
    if found := re.search(r"Invalid value '(.*)', expected one of \[(.*)\]", text):
        choices = found[2].split(", ")
        return f"choose one of {found[2]}{did_you_mean(found[1], choices)}"
    if "not a valid bool" in text:
        return "give true or false"
    if "Dict[" in text:
        return "give names with their values, such as {a: ...}"
    if "is not a ListConfig, list or tuple" in text or "type hint 'typing.List" in text:
        return "give a list in brackets, such as [1, 2, 3]; a list of lists as [[1, 2], [3, 4]]"
    if "does not support deletion" in text:
        return "this key cannot be removed, only set"
    if "Cannot merge DictConfig with ListConfig" in text:
        return "give names with their values, such as {a: ...}, not a list"
    if found := re.search(r"(\w+) is not a subclass of (\w+)", text):
        return _wrong_class(found[1], found[2], key, root)
    return text[:1].lower() + text[1:]


def _as_whole(cause: OmegaConfBaseException, wanted: str) -> str:
    value: Any = cause.value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    is_whole = wanted == "Integer" and number.is_integer() and not isinstance(value, bool)
    return f": {int(number)}" if is_whole else ""


def _wrong_class(given: str, wanted: str, key: str, root: DictConfig | None) -> str:
    """A value where a config is expected, or a key inside of an entry that does not exist."""
    cls = registered(wanted)
    names = "" if cls is None else ", ".join(f.name for f in dataclasses.fields(cls))
    keys = f"; the keys are {names}" if names else ""
    if given != "dict":
        return f"give keys with their values, such as {{key: value}}{keys}"
    path, depth, node = key.split("."), 0, root
    while depth < len(path) - 1 and isinstance(node, DictConfig) and path[depth] in node:
        node, depth = node._get_node(path[depth]), depth + 1  # type: ignore[assignment]
    parent, name = ".".join(path[:depth]), path[depth]
    known = [str(n) for n in node] if isinstance(node, DictConfig) else []
    if known:
        close = did_you_mean(name, known)
        return f"there is no {parent}.{name}{close}\n  there are {', '.join(known)}"
    return (
        f"there is no {parent}.{name} yet, so give it as a whole: "
        f"'{parent}={{{name}: {{key: value, ...}}}}'{keys}"
    )


def _shortened(error: BaseException) -> str:
    """Hydra's message and its cause, without the parts meant for its developers."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines += str(cause).splitlines()
        cause = cause.__cause__
    kept: list[str] = []
    for line in lines:
        text = line.strip()
        if text.startswith("Config search path"):
            break
        if text.startswith(_FOR_DEVELOPERS) or re.fullmatch(r"\w+Config", text):
            continue
        if text and text not in kept:
            kept.append(text)
    return "\n  ".join(kept)
