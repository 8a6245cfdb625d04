"""Who is alive, on this machine and elsewhere."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dacapo.processes.files import parse
from dacapo.runs import owner as module
from dacapo.runs.owner import Owner


def test_no_process_survives_a_reboot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_place", lambda: ("id", "boot", "namespace"))
    me = Owner.current()
    assert dataclasses.replace(me, boot="the one before").is_alive() is False
    # A name like localhost may be that of two machines; the ids of their systems differ.
    assert dataclasses.replace(me, boot="its own", machine="its own").is_alive() is None
    assert dataclasses.replace(me, boot="its own", host="other").is_alive() is None
    assert dataclasses.replace(me, boot="").is_alive() is None
    # Containers have no id, and may share a name on two machines.
    monkeypatch.setattr(module, "_place", lambda: ("", "boot", "namespace"))
    assert dataclasses.replace(me, machine="", boot="its own").is_alive() is None
    assert dataclasses.replace(me, namespace="a container's").is_alive() is None


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show /proc of this process only, as hidepid does for other users' processes."""
    real = Path.read_text

    def read_text(path: Path, *args: object) -> str:
        if path.parts[:2] == ("/", "proc") and path.parts[2].isdecimal():
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_a_process_of_another_user_that_is_hidden_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(Owner.current(), pid=1)
    hide(monkeypatch)

    def kill(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert other.is_alive() is True


def test_a_process_that_has_ended_is_dead_though_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    other = dataclasses.replace(Owner.current(), pid=ended.pid)
    hide(monkeypatch)
    assert other.is_alive() is False


def test_without_proc_the_id_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_place", lambda: ("", "laptop posix", ""))
    monkeypatch.setattr(module, "_started", lambda pid: None)
    me = Owner.current()
    assert me.started == 0
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda p: real(p) and p != Path("/proc/self/stat"))
    assert me.is_alive() is True


def test_an_owner_of_a_newer_version() -> None:
    me = Owner.current()
    assert parse(Owner, {**me.encode(), "gpu": "H100"}) == me
    with pytest.raises(ValueError, match=r"Owner.pid is '7'"):
        parse(Owner, {**me.encode(), "pid": "7"})
    with pytest.raises(ValueError, match=r"Owner.host is missing"):
        parse(Owner, {})
    with pytest.raises(ValueError, match="not a record of Owner"):
        parse(Owner, [])
    with pytest.raises(ValueError, match=r"Owner.pid is 1000"):
        parse(Owner, {**me.encode(), "pid": 10**30})


def test_an_owner_of_an_earlier_version() -> None:
    known = {k: v for k, v in Owner.current().encode().items() if k not in ("boot", "namespace")}
    assert parse(Owner, known).is_alive() is None
