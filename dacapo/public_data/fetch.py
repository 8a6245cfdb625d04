"""Downloads that resume, and archives that stay in their folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import ssl
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dacapo.errors import InputError
from dacapo.processes.files import format_bytes, locked, temporary_name, writing

_CHUNK = 2**20
_TRIES = 5
_TIMEOUT = 60.0
_BROKEN = (
    URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException,
)  # fmt: skip
_BUSY = (429, 503)
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)  # the last one: an archive with a password
Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and how many there will be, if that is known."""


def fetch(url: str, target: Path, checksum: str, progress: Progress, pause: float = 2.0) -> bool:
    """Download a file, or resume that; whether it was not there already.

    What has arrived stays in `target.part`, and the next call, or a retry after a broken
    connection, asks for the rest.

    Args:
        checksum: algorithm:digits.
        pause: seconds before a retry.

    Raises:
        InputError: the server refuses, the connection breaks several times, the disk is full, or
            the file is not the one with this checksum.
    """
    if target.is_dir():
        raise InputError(f"{target} is a folder, where the file should be: move it away")
    if target.exists():
        _check(target, checksum, f"{target} is there, but it is another file: move it away")
        return False
    part = target.with_name(f"{target.name}.part")
    with locked(part, f"{target}: another process is downloading it"):
        _fetch_with_retries(url, target, part, progress, pause)
    _check(part, checksum, f"{url} is not the file that its record describes: delete {part}")
    os.replace(part, target)
    return True


def _fetch_with_retries(
    url: str, target: Path, part: Path, progress: Progress, pause: float
) -> None:
    for left in reversed(range(_TRIES)):
        try:
            with writing(part):
                _fetch_rest(url, part, progress)
            break
        except HTTPError as error:
            if error.code not in _BUSY or not left:
                raise InputError(
                    f"{url}: the server answers {error.code} {error.reason}"
                ) from error
            time.sleep(pause)
        except _BROKEN as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise _untrusted(url, target, reason) from error
            if not left:
                raise InputError(
                    f"{url}: {reason}; rerun the same command to resume from "
                    f"{format_bytes(part.stat().st_size if part.exists() else 0)}"
                ) from error
            time.sleep(pause)


def _untrusted(url: str, target: Path, error: ssl.SSLCertVerificationError) -> InputError:
    return InputError(
        f"{url}: the certificate of the server is not valid ({error.verify_message}). Download the "
        f"file by other means to {target} and rerun this command, which checks it"
    )


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    begin = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={begin}-"} if begin else {})
    try:
        answer = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and begin:  # nothing is left to send
            return
        raise
    with answer:
        resumed = answer.status == 206
        if resumed and not _begins_at(answer.headers.get("Content-Range"), begin):
            raise ConnectionError("the server sends another part than was asked for")
        length = answer.headers.get("Content-Length")
        done = begin if resumed else 0
        total = None if length is None else done + int(length)
        if total is not None and total - done > (free := shutil.disk_usage(part.parent).free):
            raise InputError(
                f"{part.parent} has {format_bytes(free)} left, and {format_bytes(total - done)} "
                f"are still to come"
            )
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(_CHUNK):
                file.write(block)
                done += len(block)
                progress(done, total)
        if total is not None and done < total:
            raise ConnectionError(f"the connection broke at {format_bytes(done)}")


def _begins_at(content_range: str | None, begin: int) -> bool:
    """Whether the server sends what was asked for.

    >>> _begins_at("bytes 5-9/10", 5), _begins_at("bytes 0-9/10", 5)
    (True, False)
    """
    found = re.match(r"bytes (\d+)-", content_range or "")
    return found is not None and int(found[1]) == begin


def _check(path: Path, checksum: str, message: str) -> None:
    algorithm, _, digits = checksum.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != digits:
        raise InputError(f"{message} ({algorithm} {found}, expected {digits})")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file into a new folder, which appears when it is complete.

    Raises:
        InputError: the archive is damaged, or a file of it would lie outside of the folder.
    """
    if folder.exists():
        return
    temporary = temporary_name(folder)
    temporary.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for name in zipped.namelist():
                    if not (temporary / name).resolve().is_relative_to(temporary.resolve()):
                        raise InputError(f"{archive}: {name} would lie outside of the folder")
                zipped.extractall(temporary)
        else:
            with tarfile.open(archive) as packed:
                packed.extractall(temporary, filter="data")
        os.replace(temporary, folder)
    except _DAMAGED as error:
        raise InputError(f"{archive}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
