"""Volumes behind HTTP and in S3, from servers that the tests start."""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.arrays import ReadOptions, open_array
from dacapo.errors import InputError
from tests.arrays.formats.test_formats import DATA, SIZE, write_n5, write_precomputed, write_sharded

WRITERS = pytest.mark.parametrize("write", [write_sharded, write_n5, write_precomputed])


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, whole or in part: shards are read in part."""

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        asked = self.headers.get("Range")
        if asked is None or not file.is_file():
            return super().do_GET()
        content = file.read_bytes()
        first, last = asked.removeprefix("bytes=").split("-")
        begin = int(first) if first else len(content) - int(last)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.wfile.write(content[begin:end])
        return None

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="volumes")
    yield client
    server.stop()


@WRITERS
def test_http(tmp_path: Path, http: str, write: Any) -> None:
    path = Path(write(tmp_path)).relative_to(tmp_path)
    array = open_array(f"{http}/{path}")
    assert array.voxel_size == SIZE
    assert np.array_equal(array.read(array.roi).reshape(DATA.shape), DATA)


@WRITERS
def test_s3(tmp_path: Path, s3: Any, write: Any) -> None:
    where = Path(write(tmp_path))
    for file in where.rglob("*"):
        if file.is_file():
            s3.upload_file(str(file), "volumes", f"some/{file.relative_to(where)}")
    array = open_array("s3://volumes/some")
    assert array.voxel_size == SIZE
    assert np.array_equal(array.read(array.roi).reshape(DATA.shape), DATA)


def test_nothing_there(http: str) -> None:
    with pytest.raises(InputError, match=r"raw=http.*/none: no zarr, N5 or precomputed"):
        open_array(f"{http}/none", key="raw")


def test_a_server_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zarr"
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"raw=http.*no answer from .* within 0.5 s"):
            open_array(where, key="raw", options=ReadOptions(timeout=0.5))
        assert time.monotonic() - begin < 10


def test_nobody_listens() -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{port.getsockname()[1]}/a.zarr"
    with pytest.raises(InputError, match=r"raw=http.*(no answer|cannot read)"):
        open_array(where, key="raw", options=ReadOptions(timeout=2))
