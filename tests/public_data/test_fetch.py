"""Downloads from a server on this machine: broken connections, wrong files, hostile archives."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dacapo.errors import InputError
from dacapo.processes.files import locked
from dacapo.public_data.fetch import fetch, unpack

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves CONTENT.

    Attributes:
        breaks: answers that end after 100,000 bytes.
        busy: answers that ask to come back later.
        ranges: whether it honours Range.
        asked: the Range of each request.
    """

    breaks = 0
    busy = 0
    ranges = True
    asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/volume.h5"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.busy:
            self.server.busy -= 1
            self.send_error(503)
            return
        if "missing" in self.path:
            self.send_error(404)
            return
        begin = int(re.findall(r"\d+", asked)[0]) if asked and self.server.ranges else 0
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        content = CONTENT[begin:]
        if self.server.breaks:
            self.server.breaks -= 1
            content = content[:100_000]
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def silent(done: int, total: int | None) -> None:
    assert total is None or done <= total


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "volume.h5"
    assert fetch(server.url, target, SHA256, silent)
    assert target.read_bytes() == CONTENT
    assert not fetch(server.url, target, SHA256, silent)
    assert server.asked == [None]
    assert list(tmp_path.iterdir()) == [target]


def test_a_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    assert fetch(server.url, tmp_path / "v", SHA256, silent, pause=0)
    assert (tmp_path / "v").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]


def test_a_download_that_was_given_up_is_resumed_by_the_next(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "v.part").write_bytes(CONTENT[:250_000])
    assert fetch(server.url, tmp_path / "v", SHA256, silent)
    assert server.asked == ["bytes=250000-"]
    (tmp_path / "w.part").write_bytes(CONTENT)  # killed before it was renamed
    assert fetch(server.url, tmp_path / "w", SHA256, silent)
    assert (tmp_path / "w").read_bytes() == CONTENT


def test_a_server_that_cannot_resume(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "v.part").write_bytes(b"x" * 1000)
    assert fetch(server.url, tmp_path / "v", SHA256, silent)
    assert (tmp_path / "v").read_bytes() == CONTENT


def test_a_connection_that_breaks_again_and_again(server: Server, tmp_path: Path) -> None:
    server.breaks, server.ranges = 99, False
    with pytest.raises(InputError, match=r"rerun the same command to resume from 98 KiB|resume"):
        fetch(server.url, tmp_path / "v", SHA256, silent, pause=0)
    assert not (tmp_path / "v").exists()


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.busy = 2
    assert fetch(server.url, tmp_path / "v", SHA256, silent, pause=0)
    server.busy = 99
    with pytest.raises(InputError, match="the server answers 503"):
        fetch(server.url, tmp_path / "w", SHA256, silent, pause=0)


def test_what_is_in_the_way(server: Server, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    with pytest.raises(InputError, match="is a folder, where the file should be"):
        fetch(server.url, tmp_path / "v", SHA256, silent)
    with (
        locked(tmp_path / "w.part", "no"),
        pytest.raises(InputError, match="another process is downloading it"),
    ):
        fetch(server.url, tmp_path / "w", SHA256, silent)


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rerun the same command to resume from 0"):
        fetch("http://127.0.0.1:9/v", tmp_path / "v", SHA256, silent, pause=0)


def test_another_file_than_the_record_describes(server: Server, tmp_path: Path) -> None:
    wrong = f"sha256:{'0' * 64}"
    with pytest.raises(InputError, match="is not the file that its record describes: delete"):
        fetch(server.url, tmp_path / "v", wrong, silent)
    assert not (tmp_path / "v").exists()
    (tmp_path / "v").write_text("mine")
    with pytest.raises(InputError, match="another file: move it away"):
        fetch(server.url, tmp_path / "v", SHA256, silent)
    assert (tmp_path / "v").read_text() == "mine"


def test_a_file_that_is_gone(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the server answers 404"):
        fetch(server.url.replace("volume", "missing"), tmp_path / "v", SHA256, silent)


def test_a_full_disk_is_seen_before(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("dacapo.public_data.fetch.shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="are still to come"):
        fetch(server.url, tmp_path / "v", SHA256, silent)


def test_archives_are_unpacked_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner/raw.tif", b"1")
    unpack(tmp_path / "a.zip", tmp_path / "files")
    assert (tmp_path / "files" / "inner" / "raw.tif").read_bytes() == b"1"
    (tmp_path / "files" / "mine.txt").touch()
    unpack(tmp_path / "a.zip", tmp_path / "files")
    assert (tmp_path / "files" / "mine.txt").exists()
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "files", "inside")
    unpack(tmp_path / "b.tar.gz", tmp_path / "more")
    assert (tmp_path / "more" / "inside" / "mine.txt").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_would_write_elsewhere(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../evil.txt", b"1")
    else:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("../evil.txt")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"1"))
    with pytest.raises(InputError, match=r"evil\.txt"):
        unpack(path, tmp_path / "files")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_damaged_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(__file__, "a.py")
    content = bytearray((tmp_path / "b.tar.gz").read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (tmp_path / "b.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.tar\.gz"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "files")
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"a\.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "files")
