"""The page of a comparison while the runs are trained: a server on this machine that renews it."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dacapo.errors import InputError, printable

_EMPTY = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Comparison</title>
<meta http-equiv="refresh" content="5"><p>{}</p>"""


class Page:
    """A page that is made again when what it shows has changed, but not all the time.

    Args:
        look: returns a text that changes whenever the page would, and what makes the page, given a
            version to write into it.
        interval: seconds for which a page counts as new.
    """

    def __init__(
        self, look: Callable[[], tuple[str, Callable[[str], str]]], interval: float
    ) -> None:
        self._look, self._interval = look, interval
        self._lock = threading.Lock()
        self._made, self._version, self._html = -interval, "", ""

    def current(self) -> tuple[str, str]:
        """The version, and the page."""
        with self._lock:
            begin = time.monotonic()
            if begin - self._made < self._interval:
                return self._version, self._html
            try:
                state, make = self._look()
                version = hashlib.sha256(state.encode()).hexdigest()[:16]
                if version != self._version:
                    self._html = make(version)
            except InputError as error:  # such as no runs yet
                version, self._html = "none", _EMPTY.format(escape(printable(str(error))))
            self._version = version
            now = time.monotonic()
            self._made = now + (now - begin)  # rests for twice as long as it takes
            return self._version, self._html


def open_server(page: Page, port: int) -> tuple[ThreadingHTTPServer, str]:
    """A server that only this machine reaches, and the address of the page with its token.

    Args:
        port: 0: any that is free.

    Raises:
        InputError: the port is taken.
    """
    token = secrets.token_urlsafe(16)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {f"/{token}/": 1, f"/{token}/version": 0}
            if self.path not in known:
                self.send_error(404)
                return
            content = page.current()[known[self.path]].encode()
            self.send_response(200)
            kind = "text/html" if known[self.path] else "text/plain"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Says nothing: the page asks every few seconds."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(f"port={port}: {error.strerror}: choose another") from error
    return server, f"http://127.0.0.1:{server.server_port}/{token}/"
