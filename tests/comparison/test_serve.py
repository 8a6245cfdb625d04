"""The page of a comparison that renews itself."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from dacapo.compare import CompareConfig
from dacapo.comparison.serve import Page, open_server
from dacapo.errors import InputError
from tests.comparison.test_verdict import column, write_runs


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Callable[[Page], str]]:
    open_servers = []

    def start(page: Page) -> str:
        server, address = open_server(page, 0)
        open_servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return address

    yield start
    for server in open_servers:
        server.shutdown()
        server.server_close()


def read(address: str) -> str:
    with urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_only_who_has_the_token_sees_it(served: Callable[[Page], str]) -> None:
    address = served(Page(lambda: ("a", lambda version: f"page {version}"), 0))
    version = read(f"{address}version")
    assert read(address) == f"page {version}"
    host = "/".join(address.split("/")[:3])
    for path in ("/", "/version", "/x/", f"{address.removeprefix(host)}other"):
        with pytest.raises(HTTPError, match="404"):
            read(host + path)
    assert host.startswith("http://127.0.0.1:")


def test_it_is_made_again_only_if_something_has_changed(served: Callable[[Page], str]) -> None:
    state, made = ["one"], []

    def make(version: str) -> str:
        made.append(version)
        return state[0]

    address = served(Page(lambda: (state[0], make), 0))
    first = read(f"{address}version")
    assert [read(address), read(address), len(made)] == ["one", "one", 1]
    state[0] = "two"
    assert read(f"{address}version") != first
    assert read(address) == "two"
    assert len(made) == 2


def test_what_is_wrong_is_on_the_page(served: Callable[[Page], str]) -> None:
    def look() -> tuple[str, Callable[[str], str]]:
        raise InputError("runs_dir=<b>: the folder holds no runs")

    page = read(served(Page(look, 0)))
    assert "runs_dir=&lt;b&gt;: the folder holds no runs" in page
    assert "refresh" in page  # it may have some soon


def test_a_port_that_is_taken() -> None:
    page = Page(lambda: ("a", lambda version: ""), 0)
    server, _ = open_server(page, 0)
    with server, pytest.raises(InputError, match=f"port={server.server_port}: "):
        open_server(page, server.server_port)


def test_the_command(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.0, 0))
    command = [sys.executable, "-m", "dacapo.compare", f"runs_dir={tmp_path}", "serve=true"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127.0.0.1:\d+/[\w-]{20,}/", address)
        page = read(address)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "Comparison of the runs in" in page
    assert read_version(page)
    assert not (tmp_path / "comparison.nc").exists()


def read_version(page: str) -> bool:
    return 'fetch("version")' in page


def test_it_writes_nothing() -> None:
    with pytest.raises(InputError, match="serve=true writes nothing"):
        CompareConfig(serve=True, report="a.html")
