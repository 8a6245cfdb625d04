"""Run a command in a forked process, which starts at once and has not imported torch."""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
import os
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["dacapo.train", "numpy", "tests.forked"])


@dataclass(frozen=True)
class Result:
    """What a command did.

    Attributes:
        imported: the names of interest that it has imported.
    """

    status: int
    out: str
    err: str
    seconds: float
    imported: list[str]

    @property
    def first_line(self) -> str:
        """The line of the error, else the first one of what was reported or printed."""
        lines = (self.err or self.out).strip().splitlines() or [""]
        return next((line for line in lines if line.startswith("error: ")), lines[0])


def run_forked(command: str, arguments: list[str], cwd: Path, timeout: float = 120) -> Result:
    """Run `python -m dacapo.COMMAND ARGUMENTS`.

    Raises:
        TimeoutError: it did not end in time.
    """
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(command, arguments, str(cwd), sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            raise TimeoutError(f"{command} {arguments} did not end in {timeout:g} s")
        result = receiver.recv()
    except EOFError:
        process.join()
        return Result(process.exitcode or 0, "", "the process died", 0, [])
    finally:
        process.kill()
        process.join()
        receiver.close()
    assert isinstance(result, Result)
    return result


def _run(command: str, arguments: list[str], cwd: str, sender: Connection) -> None:
    os.chdir(cwd)
    sys.argv = [f"dacapo.{command}", *arguments]
    out, err = io.StringIO(), io.StringIO()
    begin = time.perf_counter()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            importlib.import_module(f"dacapo.{command}").main()
        except SystemExit as end:
            status = end.code
        except BaseException:  # noqa: BLE001  (what would end the process)
            traceback.print_exc()
            status = 1
    seconds = time.perf_counter() - begin
    imported = [name for name in ("torch", "xarray", "matplotlib") if name in sys.modules]
    sender.send(Result(int(str(status or 0)), out.getvalue(), err.getvalue(), seconds, imported))
