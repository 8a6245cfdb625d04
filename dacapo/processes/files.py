"""Reading and writing whole files.

A file that is written appears completely or not at all; a file that is read may have been made by
anyone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

import yaml

from dacapo.errors import InputError, did_you_mean

T = TypeVar("T")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG,
                errno.ENAMETOOLONG, errno.ENOTDIR)  # fmt: skip
_DISK_TEXTS = (os.strerror(errno.ENOSPC), "requested and")
"""Of errors of zarr and numpy without a number."""
_MAX_NODES = 100_000
"""Number of values in a yaml file that is believed."""


class UnreadableError(InputError):
    """A run's folder holds something that cannot be read; the message names the folder."""


def temporary_name(path: Path) -> Path:
    """A name next to `path` that no other process uses, on this machine or another."""
    # Containers may share a host name and all have the process id 1.
    unique = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{unique}.tmp")


def write_atomically(
    path: Path, content: bytes, before_rename: Callable[[], None] = lambda: None
) -> None:
    """Replace a file: write a temporary file next to it, flush it to disk, then rename it.

    Args:
        before_rename: may raise, so that the old file stays as it is.

    Raises:
        InputError: the disk is full or not writable; the old file is unchanged.
    """
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        before_rename()
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        _remove(temporary)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        InputError: that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a disk that is full or not writable into one error that names the output.

    Raises:
        InputError: the disk took no more, or does not let this user write.
    """
    try:
        yield
    except OSError as error:
        is_disk = error.errno in _DISK_ERRORS or any(text in str(error) for text in _DISK_TEXTS)
        if not is_disk:
            raise  # it may be about what is read
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # zarr leaves unfinished tasks
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:  # on a disk that cannot be written, the first error says more than this one
        return


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_regular(path: Path, max_size: int = 2**26) -> bytes:
    """The content of a regular file; a pipe or a device, which could block, is refused.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not a regular file, or larger than is believed.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is not a regular file")
        if found.st_size > max_size:
            raise ValueError(
                f"has {found.st_size} bytes, more than the {max_size} that it may have"
            )
        content: bytes | None = file.read()
        if content is None:  # of a file of the kernel that waits for something to read
            raise ValueError("is not a regular file")
        return content


def check_yaml(text: bytes) -> None:
    """Refuse a yaml that becomes huge when its aliases are followed.

    Raises:
        ValueError: it has too many nodes, or is not yaml.
    """
    try:
        events = yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if b"*" not in text or not any(isinstance(e, yaml.AliasEvent) for e in events):
            return
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    sizes: dict[int, int] = {}

    def size(node: yaml.Node | None) -> int:
        if node is not None and id(node) not in sizes:
            sizes[id(node)] = 1  # also while it is counted, as it may contain itself
            children = node.value if not isinstance(node, yaml.ScalarNode) else ()
            pairs = (c if isinstance(c, tuple) else (c,) for c in children)
            sizes[id(node)] += sum(size(child) for pair in pairs for child in pair)
        return sizes.get(id(node), 0)

    try:
        if size(yaml.compose(text, yaml.SafeLoader)) > _MAX_NODES:
            raise ValueError("its aliases (*name) make it huge")
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file of a run into one error that names it.

    Raises:
        UnreadableError: the block raised OSError or ValueError; FileNotFoundError is passed on.
    """
    try:
        yield
    except (FileNotFoundError, UnreadableError):
        raise
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"cannot read {path}: {error}") from error


def parse_json(payload: bytes | memoryview) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: the text is not JSON, or not an object.
    """
    plain = json.loads(bytes(payload))
    if not isinstance(plain, dict):
        raise ValueError("not a JSON object")
    return plain


def parse(cls: type[T], plain: object) -> T:
    """Build a flat dataclass from plain data; fields that only a newer version knows are ignored.

    Raises:
        ValueError: a field is missing or has another type.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"not a record of {cls.__name__}")
    types: dict[str, Any] = _types(cls)  # type: ignore[arg-type]
    known = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in plain:
            value = plain[field.name]
            is_good = isinstance(value, types[field.name]) and not isinstance(value, bool)
            if not is_good or (isinstance(value, int) and abs(value) >= 2**63):
                raise ValueError(f"{cls.__name__}.{field.name} is {value!r:.99}")
            known[field.name] = value
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{cls.__name__}.{field.name} is missing")
    return cls(**known)


@cache
def _types(cls: type) -> dict[str, Any]:
    return {name: get_origin(kind) or kind for name, kind in get_type_hints(cls).items()}


def format_bytes(number: float) -> str:
    """A size for people.

    >>> format_bytes(512), format_bytes(3.25 * 2**30)
    ('512 bytes', '3.2 GiB')
    """
    units = iter(("KiB", "MiB", "GiB", "TiB"))
    text = f"{number:.0f} bytes"
    while number >= 1024 and (unit := next(units, None)):
        number /= 1024
        text = f"{number:.1f} {unit}"
    return text


def check_folder(path: Path, key: str) -> Path:
    """Refuse a path below a file; returns the nearest folder that exists.

    Args:
        key: the config key that holds `path`, for messages.
    """
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InputError(f"{key}={path}: {there} is not a folder")
    return there


def check_writable(path: Path, key: str) -> None:
    """Refuse a path at which no folder could be made, without making one."""
    there = check_folder(path, key)
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{key}={path}: you may not write to {there}")


def missing_file(path: Path) -> str:
    """Why a file cannot be opened: a link leads nowhere, or there is no such file or folder."""
    if path.is_symlink():
        return f"{path} is a link to {os.readlink(path)}, which does not exist"
    folder = path.parent
    try:
        names = os.listdir(folder)
    except OSError:
        return f"no file {path}: there is no folder {folder}"
    return f"no file {path}{did_you_mean(path.name, names, 0.8)}"


@contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """One process at a time; where the file system has no locks, as many as there are.

    Args:
        path: what is locked, by a file beside it.
        message: of the error, if another process has the lock.

    Raises:
        InputError: another process has it.
    """
    lock = path.with_name(f".{path.name}.lock")
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(message) from None
        except OSError:
            break
        try:
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                break
        except FileNotFoundError:  # its owner has just finished, and removed it
            pass
        os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)
