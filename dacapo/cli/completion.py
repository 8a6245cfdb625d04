"""Completion of a command line in a shell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import BooleanNode, DictConfig, EnumNode, OmegaConf

from dacapo.cli.command_line import parse
from dacapo.cli.composing import compose_train
from dacapo.errors import InputError
from dacapo.experiments.run_config import TrainConfig

_FOLDER = Path(__file__).parent.parent
_WORDS = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_TAKE_TRAINS = ("train", "inspect", "preview", "new")
"""Commands that take the arguments of `dacapo.train`."""
_BASH = r"""
_dacapo() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    COMPREPLY=($(dacapo --complete "$line" 2>/dev/null))
    # The shell breaks words at = and :, and replaces only what follows the last of them.
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*[=:]}"}"}")
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _dacapo dacapo
"""
_SCRIPTS = {
    "bash": _BASH,
    "zsh": f"autoload -U +X compinit bashcompinit && compinit && bashcompinit\n{_BASH}",
    "fish": "complete -c dacapo -a '(dacapo --complete (commandline -cp))'",
}


def script(shell: str) -> str:
    """What a shell must evaluate to complete `dacapo`.

    Raises:
        SystemExit: there is none for this shell.
    """
    if shell not in _SCRIPTS:
        raise SystemExit(f"error: --completion {shell}: choose from {', '.join(_SCRIPTS)}")
    return _SCRIPTS[shell].strip()


def command_names() -> list[str]:
    """The commands: the files beside the package's rooms that have a main."""
    files = sorted(_FOLDER.glob("[a-z]*.py"))
    return [f.stem for f in files if "\ndef main() -> None:" in f.read_text()]


def summaries() -> Iterator[tuple[str, str]]:
    """Each command with a line about it; nothing is imported."""
    for name in command_names():
        text = TrainConfig.__doc__ if name == "train" else _doc(name)
        yield name, " ".join((text or "").split("\n\n")[0].split()).rstrip(".")


def _doc(command: str) -> str | None:
    """The docstring of a command's config."""
    for node in ast.parse((_FOLDER / f"{command}.py").read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == f"{command.capitalize()}Config":
            return ast.get_docstring(node)
    return None


def complete(line: str) -> list[str]:
    """What may follow a line such as `dacapo train task=aff`: whole words.

    >>> complete("dacapo stat"), complete("dacapo train task=affinities_")
    (['status'], ['task=affinities_2d', 'task=affinities_lsds'])
    """
    _, *before = _WORDS.findall(line)
    word = "" if line.endswith(" ") or not before else before.pop()
    if not before:
        return [name for name in command_names() if name.startswith(word)]
    name, *arguments = before
    if name not in command_names():
        return []
    key, equals, value = word.partition("=")
    if not equals:
        return sorted({text for text in _keys(name, arguments) if text.startswith(word)})
    listed = re.match(r"(.*[\[,])?(.*)", value)  # [mirror,el or affinities,di
    assert listed is not None
    before_it, begun = listed[1] or "", listed[2]
    values = {text for text in _values(name, arguments, key) if text.startswith(begun)}
    return sorted(f"{key}={before_it}{text}" for text in values)


def _keys(command: str, arguments: list[str]) -> Iterator[str]:
    for key in _own(command):
        yield f"{key}="
    yield "--help"
    if command in _TAKE_TRAINS:
        yield from ("-m", "--config-dir")
        yield from (f"{group}=" for group in parse(_config_dir(arguments)).groups())
        yield from (f"{key}=" for key, _ in _train_keys(arguments))


def _values(command: str, arguments: list[str], key: str) -> Iterator[str]:
    if command in _TAKE_TRAINS:
        yield from parse(_config_dir(arguments)).options(key)
    values = dict(_own(command))
    if key not in values and command in _TAKE_TRAINS:
        values = dict(_train_keys(arguments))
    node = values.get(key)
    if isinstance(node, BooleanNode):
        yield from ("true", "false")
    elif isinstance(node, EnumNode):
        yield from (option.name for option in node.enum_type)
    elif key == "run":
        given = dict(a.split("=", 1) for a in arguments if "=" in a)
        folder = Path(given.get("runs_dir", "runs"))
        for config in folder.glob("*/[0-9]*/config.yaml"):
            yield str(config.parent.relative_to(folder))


def _own(command: str) -> dict[str, Any]:
    """Key -> node of a command's own keys."""
    cls = TrainConfig
    if command != "train":
        cls = getattr(import_module(f"dacapo.{command}"), f"{command.capitalize()}Config")
    node = OmegaConf.structured(cls)
    return {str(key): node._get_node(key) for key in node}


def _train_keys(arguments: list[str]) -> Iterator[tuple[str, Any]]:
    """Key and node of everything below the groups that the arguments compose."""
    folder, given = _config_dir(arguments), [a for a in arguments if "=" in a]
    choices = [a for a in given if parse(folder).is_choice(a) and "," not in a]
    for some in (given, choices, []):  # a value may be wrong, or a sweep
        try:
            cfg = compose_train([*folder, *some])
        except InputError:
            continue
        yield from _leaves(cfg, "")
        return


def _config_dir(arguments: list[str]) -> list[str]:
    """The flag that names a folder of yamls, if there is such a folder."""
    for flag, folder in pairwise(arguments):
        if flag in ("--config-dir", "-cd") and Path(folder).is_dir():
            return [flag, folder]
    return []


def _leaves(node: DictConfig, prefix: str) -> Iterator[tuple[str, Any]]:
    for key in node:
        name = f"{prefix}{key!s}"
        inner: Any = node._get_node(key)
        if isinstance(inner, DictConfig) and not inner._is_none() and not inner._is_missing():
            yield from _leaves(inner, f"{name}.")
        else:
            yield name, inner
