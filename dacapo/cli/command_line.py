"""The arguments of `dacapo.train`, which are Hydra's, checked before Hydra reads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString, RangeSweep
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from dacapo.config import conf_dir, entry_fields
from dacapo.errors import InputError, did_you_mean

_FLAGS = {
    "-h": "--help", "-m": "--multirun", "-r": "--run", "-c": "--cfg", "-i": "--info",
    "-cd": "--config-dir", "-cn": "--config-name", "-cp": "--config-path", "-p": "--package",
    "-sc": "--shell-completion",
}  # fmt: skip
_WITH_VALUE = (
    "--cfg", "--config-dir", "--config-name", "--config-path", "--package", "--experimental-rerun",
)  # fmt: skip
_CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
_SWITCHES = ("--help", "--hydra-help", "--version", "--multirun", "--run", "--resolve", "--info",
             "--shell-completion")  # fmt: skip
_REQUIRED = ("task", "architecture", "trainer", "datasplit")
_PLAIN = re.compile(r"[\w/\-\\+.$%*@?|: ]*", re.ASCII)
"""Values that Hydra's grammar accepts without quotes."""
OPTION_NAME = re.compile(
    r"(?!(?:true|false|null|nan|inf)$)[A-Za-z_][\w-]*", re.ASCII | re.IGNORECASE
)
"""Names that Hydra's grammar takes for text."""
_GIVEN_BY_OTHERS = re.compile(r"[~+]*hydra[./]")


@dataclass
class CommandLine:
    """Arguments of `dacapo.train`, taken apart.

    Attributes:
        flags: Hydra's flags with their values, such as ["--multirun", "--cfg", "job"].
        overrides: `key=value` and `group=option`, quoted where Hydra needs it.
        typed: the same as they were typed.
        config_dirs: folders with yaml files: ours, and the one of --config-dir.
    """

    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    config_dirs: list[Path] = field(default_factory=lambda: [Path(conf_dir())])

    @property
    def is_sweep(self) -> bool:
        return "--multirun" in self.flags

    @property
    def arguments(self) -> list[str]:
        """The arguments for Hydra, flags first: it does not find them behind others."""
        return [*self.flags, *self.overrides]

    def typed_for(self, key: str) -> str | None:
        """The argument that sets a key, something in it or something around it, as typed."""
        key = key.partition("[")[0]
        last_first = [(_key(typed), typed) for typed in reversed(self.typed)]
        inside = [typed for own, typed in last_first if f"{own}.".startswith(f"{key}.")]
        around = [(own, typed) for own, typed in last_first if key.startswith(f"{own}.")]
        if inside:
            return inside[0]
        return max(around, key=lambda pair: len(pair[0]))[1] if around else None

    def typed_choice(self, group: str) -> str | None:
        """The argument that chooses an option of a group, as typed."""
        return next((typed for typed in reversed(self.typed) if _key(typed) == group), None)

    def groups(self) -> set[str]:
        """All groups that have options."""
        paths = {(p.parent, f) for f in self.config_dirs for p in f.glob("*/**/*.yaml")}
        return {str(path.relative_to(folder)) for path, folder in paths}

    def first_overrides(self) -> list[str]:
        """The overrides of the first job of a sweep."""
        first = []
        for override in OverridesParser.create().parse_overrides(self.overrides):
            if not override.is_sweep_override():
                first.append(str(override.input_line))
            elif override.is_discrete_sweep():
                first.append(f"{override.key_or_group}={next(override.sweep_string_iterator())}")
        return first

    def is_choice(self, override: str) -> bool:
        """Whether an override chooses an option of a group."""
        return bool(self.options(_key(override)))

    def chooses(self, group: str) -> bool:
        """Whether an option of the group was chosen."""
        return any(_key(override) == group for override in self.overrides)

    def options(self, group: str) -> list[str]:
        """What can be chosen for a group; nothing if it is the key of a value."""
        found = {p.stem for folder in self.config_dirs for p in (folder / group).glob("*.yaml")}
        return sorted(found)


def parse(arguments: Sequence[str]) -> CommandLine:
    """Take the arguments apart and check what can be checked without composing a config.

    Raises:
        InputError: an argument is not a flag, `key=value` or `group=option`; a group has no such
            option; a sweep is empty or lacks -m.
    """
    line = CommandLine()
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        flag = _FLAGS.get(name, name)
        if flag in _WITH_VALUE:
            if not equals and not words:
                raise InputError(f"{word}: give a value")
            _add_flag(line, flag, value if equals else words.pop(0))
        elif flag in _SWITCHES:
            takes = flag == "--info" and words and words[0] in _CHOICES[flag]
            line.flags += [flag, words.pop(0)] if takes else [flag]
        else:
            _check_word(word, words, () if equals else line.options(word))
            line.typed.append(word)
            line.overrides.append(_as_entry(quoted(word)))
    if "--resolve" in line.flags and "--cfg" not in line.flags:
        raise InputError("--resolve goes with --cfg job")
    for override, typed in zip(line.overrides, line.typed, strict=True):
        _check_override(override, typed, line)
    return line


def quoted(argument: str) -> str:
    """`key=value` with quotes round what Hydra's grammar would not take for text.

    >>> quoted("name=größe"), quoted("a={b: ü(1).h5:raw, c: [1, 2]}"), quoted("a=range(3)")
    ("name='größe'", "a={b: 'ü(1).h5:raw', c: [1, 2]}", 'a=range(3)')
    """
    key, equals, value = argument.partition("=")
    value = expanded(value)
    argument = f"{key}{equals}{value}"
    is_call = re.fullmatch(r"\w+\(.*\)", value, re.ASCII)
    if not equals or is_call or "${" in value or "\\" in value:  # written for Hydra
        return argument
    if value[:1] not in ("[", "{"):
        if re.search("['\"]", value):
            return argument
        is_plain = "," in value or _PLAIN.fullmatch(value)
        return argument if is_plain else f"{key}={_quote(value.strip())}"
    # In a list or a dict: what lies between brackets, commas and the colon behind a key.
    tokens = re.split(r"""("[^"]*"|'[^']*'|[\[\]{},]|(?<=\w):\s)""", value)
    return f"{key}=" + "".join(
        token if _PLAIN.fullmatch(token) or len(token) == 1 or token[0] in "\"'"
        else token.replace(token.strip(), _quote(token.strip()))
        for token in tokens
    )  # fmt: skip


def _as_entry(override: str) -> str:
    """`datasplit.train.a.raw=x` as `datasplit.train={a: {raw: x}}`, so that a is made if need be.

    >>> _as_entry("datasplit.train.a.raw=x"), _as_entry("trainer.batch_size=2")
    ('datasplit.train={a: {raw: x}}', 'trainer.batch_size=2')
    """
    key, _, value = override.partition("=")
    group, *path = key.lstrip("+").split(".")
    if len(path) < 2 or path[0] not in entry_fields(group) or "~" in key:
        return override
    if not all(
        OPTION_NAME.fullmatch(name) for name in path
    ):  # such as 0, which is not text in a dict
        return override
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except OverrideParseException:  # reported with what is wrong
        return override
    if parsed.is_sweep_override():
        return override
    value = value or "''"
    for name in reversed(path[1:]):
        value = f"{{{name}: {value}}}"
    return f"{group}.{path[0]}={value}"


def expanded(value: str) -> str:
    """A value in which ~/ is the home folder, which the shell leaves as it is behind an =."""
    return re.sub(r"(?<![^\[{,\s])~/", f"{Path.home()}/", value)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")


def _add_flag(line: CommandLine, flag: str, value: str) -> None:
    if value not in _CHOICES.get(flag, (value,)):
        choices = _CHOICES[flag]
        raise InputError(f"{flag} {value}: choose from {', '.join(choices)}")
    if flag == "--config-dir":
        folder = Path(value)
        if not folder.is_dir():
            raise InputError(f"--config-dir {value}: no such folder")
        line.config_dirs.append(folder)
    line.flags += [flag, value]


def check_words(arguments: Sequence[str]) -> None:
    """Refuse arguments of a command that are not `key=value`."""
    for number, word in enumerate(arguments):
        if word.startswith("-"):
            key = word.strip("-").partition("=")[0].replace("-", "_")
            raise InputError(f"{word!r} is not key=value: write {key}=...; --help lists the keys")
        _check_word(word, arguments[number + 1 :], ())


def _check_word(word: str, following: Sequence[str], options: Collection[str]) -> None:
    value = following[0] if following else ""
    if value and "=" not in value and any(word.count(a) > word.count(b) for a, b in ("[]", "{}")):
        raise InputError(f"{word} {value}...: quote it in the shell, '{word} {value}...'")
    if "=" in word[1:] or (word[:1] == "~" and len(word) > 1):
        if word.endswith("=") and value and "=" not in value and not value.startswith("-"):
            raise InputError(f"{word} {value}: write {word}{value}, without a space")
        return
    if word.startswith("-"):
        known = (*_SWITCHES, *_WITH_VALUE)
        raise InputError(f"{word}: unknown option{did_you_mean(word, known)}")
    if value == "=":
        value = following[1] if len(following) > 1 else ""
        raise InputError(f"{word} = {value}: write {word}={value}, without spaces")
    if value in options:
        raise InputError(f"{word} {value}: write {word}={value}")
    raise InputError(f"{word!r} is not key=value; --help lists the keys")


def _check_override(argument: str, typed: str, line: CommandLine) -> None:
    try:
        (override,) = OverridesParser.create().parse_overrides([argument])
    except OverrideParseException as error:
        raise InputError(f"{typed}: {_syntax(typed, error)}") from error
    if override.is_sweep_override():
        _check_sweep(override, typed, line)
    if _GIVEN_BY_OTHERS.match(argument) or any("searchpath" in o for o in line.overrides):
        return
    group = override.key_or_group
    is_none = override.is_delete() or override.value() is None
    if is_none and group in _REQUIRED:
        raise InputError(f"{typed}: {group} cannot be left out, only replaced")
    if is_none and "/" in group and not override.is_delete() and not group.startswith("hydra"):
        raise InputError(f"{typed}: leave it out to take what {group.rpartition('/')[0]} has")
    if group == "experiment" and not line.is_sweep and _is_sweep_yaml(line, _options(override)):
        raise InputError(f"{typed}: this experiment is a sweep, so add -m")
    options = line.options(group)
    if "/" in group and not options:
        raise InputError(f"{typed}: there is no group {group}{did_you_mean(group, line.groups())}")
    for option in _options(override) if options else ():
        registered = ConfigStore.instance().repo
        for part in group.split("/"):
            registered = registered.get(part, {})
        if option not in options and f"{option}.yaml" not in registered:
            raise InputError(
                f"{typed}: there is no {group}={option}{did_you_mean(option, options)}\n"
                f"  choose from {', '.join(options)}"
            )
        for folder in line.config_dirs[1:]:
            if (path := folder / group / f"{option}.yaml").is_file():
                check_yaml(path)


def _is_sweep_yaml(line: CommandLine, options: Iterator[str]) -> bool:
    """Whether a recipe holds values to sweep over."""
    names = [f"experiment/{option}.yaml" for option in options]
    for path in (folder / name for folder in line.config_dirs for name in names):
        if path.is_file():
            check_yaml(path)
            params = OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params")
            if params:
                return True
    return False


def check_yaml(path: Path) -> None:
    """Refuse a yaml file that is not text, or not keys with values."""
    try:
        content = OmegaConf.load(path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark is not None else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        hint = "; indent with spaces, not with tabs" if r"\t" in problem else ""
        raise InputError(f"{path}{at}: {problem}{hint}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if not isinstance(content, DictConfig):
        raise InputError(f"{path} holds a list: write keys with values, such as key: value")


def _options(override: Override) -> Iterator[str]:
    """The options that a group is given, whether it takes one, several or a sweep of them."""
    value: Any = override._value
    choices = value.list if isinstance(value, ChoiceSweep) else [value]
    for choice in choices:
        for option in choice if isinstance(choice, list) else [choice]:
            if isinstance(option, QuotedString):
                yield option.text
            elif option is not None:
                yield str(option)


def _check_sweep(override: Override, typed: str, line: CommandLine) -> None:
    key, _, value = typed.partition("=")
    if "--cfg" in line.flags:
        raise InputError(f"{typed}: --cfg shows one config, so give one value")
    if not line.is_sweep:
        if isinstance(override._value, ChoiceSweep) and not value.startswith("choice("):
            raise InputError(
                f"{typed}: to sweep over these values, add -m; for a list, write "
                f"'{key}=[{value}]'; for one text, write '{key}=\"{value}\"'"
            )
        raise InputError(f"{typed}: to sweep, add -m")
    if isinstance(override._value, RangeSweep) and not list(override.sweep_iterator()):
        raise InputError(f"{typed}: an empty range, so there is nothing to run")


def _syntax(typed: str, error: OverrideParseException) -> str:
    """What is wrong with an argument that Hydra's grammar refuses."""
    value = typed.partition("=")[2]
    for opening, closing in ("[]", "{}", "()"):
        if value.count(opening) != value.count(closing):
            return f"{opening} and {closing} do not match; quote the whole argument in the shell"
    if value.endswith(","):
        return "a comma at the end"
    reason = " ".join(str(error).splitlines()[:2]).replace("Error parsing override", "").strip()
    if " while evaluating " in reason:
        return reason.partition(" while evaluating ")[2]
    key = typed.partition("=")[0]
    return f"cannot be read; a text with special characters needs quotes: '{key}=\"{value}\"'"
