"""Compose the config of `dacapo.train`, and say which argument is to blame if that fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dacapo.cli.command_line import CommandLine, check_yaml, parse
from dacapo.cli.mistakes import explain
from dacapo.config import conf_dir
from dacapo.errors import InputError, did_you_mean


def compose_train(arguments: Sequence[str]) -> DictConfig:
    """The config that the arguments of `python -m dacapo.train` compose.

    Raises:
        InputError: an argument is wrong.
    """
    line = parse(arguments)
    if line.is_sweep and "--help" not in line.flags:
        raise InputError("-m: this command takes one config, not a sweep")
    with explained(line):
        return _compose(line, line.overrides)


def check_first_job(line: CommandLine) -> None:
    """Compose the first job of a sweep, before Hydra makes folders for all of them."""
    with explained(line):
        _compose(line, line.first_overrides())


@contextmanager
def explained(line: CommandLine) -> Iterator[None]:
    """Turn errors of Hydra into those of the arguments that cause them."""
    try:
        yield
    except MissingConfigException as error:
        raise InputError(_missing_option(error, line)) from error
    except (HydraException, OmegaConfBaseException) as error:
        if found := re.search(r"In '(.+)/\w+'.*not a subclass of", str(error), re.DOTALL):
            group = found[1]
            options = _fitting(line, group)
            raise InputError(
                f"{line.typed_choice(group) or group}: does not fit the other options; "
                + (f"choose from {', '.join(options)}" if options else "leave it out")
            ) from error
        blamed = re.search(r"override '?([^'\s=]+)", str(error).splitlines()[0])
        typed = line.typed_for(_full_key(error, blamed[1].lstrip("+~"))) if blamed else None
        raise InputError(explain(error, typed, _groups_alone(line))) from error
    except (yaml.YAMLError, UnicodeDecodeError):
        _check_yamls(line)
        raise
    except ValueError as error:  # OmegaConf's, of `key_of_a_list.name=value`
        literal = re.fullmatch(r"invalid literal for int\(\) with base 10: '(.*)'", str(error))
        if literal is None:
            raise
        keys = [typed.partition("=")[0] for typed in line.typed]
        inner = [key for key in keys if key.endswith(f".{literal[1]}")]
        if not inner:
            raise
        key, _, name = inner[0].rpartition(".")
        raise InputError(
            f"{line.typed_for(inner[0])}: {key} is a list, so give all of it, or a position such "
            f"as 0 in the place of {name}"
        ) from error
    except AssertionError as error:
        if "Unexpected type" not in str(error):
            raise
        raise InputError(_below_nothing(line)) from error


def _full_key(error: BaseException, blamed: str) -> str:
    """The key that is wrong, which may be in the value of the override that is blamed."""
    full_key = str(getattr(error.__cause__, "full_key", "") or "")
    return full_key if full_key.startswith(blamed) else blamed


def _missing_option(error: MissingConfigException, line: CommandLine) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    options = [o for o in error.options or () if not o.endswith("Config")]
    if not group:
        return str(error).splitlines()[0]
    if group.startswith("experiment/"):
        return (
            f"{line.typed_choice('experiment') or group}: in its defaults, write "
            f"`override /{group.partition('/')[2]}: {option}`"
        )
    known = "\n  choose from " + ", ".join(options) if options else ""
    typed = line.typed_choice(group)
    place = f"{typed}: " if typed else ""
    return f"{place}there is no {group}={option}{did_you_mean(option, options)}{known}"


def _check_yamls(line: CommandLine) -> None:
    """Refuse the first yaml file that cannot be read, which another one has named."""
    for path in (p for folder in line.config_dirs for p in sorted(folder.glob("**/*.yaml"))):
        check_yaml(path)


def _compose(line: CommandLine, overrides: Sequence[str]) -> DictConfig:
    paths = [f"file://{folder.resolve()}" for folder in line.config_dirs[1:]]
    path = [f"hydra.searchpath=[{','.join(paths)}]"] if paths else []
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=[*path, *overrides])


def _groups_alone(line: CommandLine) -> DictConfig | None:
    """The config with the groups that were chosen but without other values, if it composes."""
    try:
        return _compose(line, [o for o in line.overrides if line.is_choice(o)])
    except (HydraException, OmegaConfBaseException, AssertionError):
        return None


def _fitting(line: CommandLine, group: str) -> list[str]:
    """The options of a group that compose with what else was chosen."""
    others = [o for o in line.overrides if line.is_choice(o) and not o.startswith(f"{group}=")]
    found = []
    for option in line.options(group):
        try:
            _compose(line, [*others, f"{group}={option}"])
        except (HydraException, OmegaConfBaseException):
            continue
        found.append(option)
    return found


def _below_nothing(line: CommandLine) -> str:
    """The message for a key of a group of which nothing was chosen, such as start.run=a/0."""
    for typed in line.typed:
        key = typed.partition("=")[0].lstrip("+~")
        group = key.partition(".")[0]
        if "." in key and group in ("start", "halving") and not line.chooses(group):
            options = ", ".join(f"{group}={o}" for o in line.options(group))
            return f"{typed}: there is no {group}; add one of {options}"
    return "a key has no value to be set in"
