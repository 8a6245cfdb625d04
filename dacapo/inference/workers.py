"""Several processes that work on the blocks of one output, scheduled by daisy (Rust, version 2)."""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.arrays.kept import BlockNotes, KeptBlocks, note_of, noted
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.launching.worker_jobs import WorkerJobs

Start = tuple[int, ...]
Work = Callable[[Start], None]

_MAX_RETRIES = 2
_MAX_FAILURES = 30
"""A worker ends after so many failures in a row, as it may be the worker that is ill."""


def distribute(
    blocks: KeptBlocks, name: str, starts: Sequence[Start], open_work: Callable[[int], Work],
    num_workers: int, jobs: WorkerJobs | None = None,
) -> None:  # fmt: skip
    """Let processes do the blocks that are missing, each noting what it has done.

    A block that fails is tried again; a worker that is killed is replaced, a limited number of
    times.

    Args:
        name: of what is done, in the log.
        starts: the first voxel of each block.
        open_work: called once in each process with its number; returns what is done with a block.
        num_workers: with 1 nothing is done here, unless it is a job of its own.
        jobs: of a cluster, one for each process (default: processes on this machine).

    Raises:
        InputError: blocks failed; the message has the first error. The others are done, unless
            processes ended again and again.
    """
    missing = list(blocks.missing(name, starts))
    if not missing or (jobs is None and (num_workers < 2 or len(missing) < 2)):
        return
    import daisy
    import daisy.logging
    from funlib.geometry import Roi

    logging.getLogger("daisy").setLevel(logging.ERROR)
    daisy.logging.set_log_basedir(str((blocks.work / "logs").absolute()))
    notes = str(blocks.work.absolute())
    failures = "" if jobs is None else str(jobs.folder)
    work = partial(_work, missing, name, notes, open_work, failures)
    task = daisy.Task(
        name.replace("/", "_").replace(" ", "_"),
        total_roi=Roi((0,), (len(missing),)),
        read_roi=Roi((0,), (1,)),
        write_roi=Roi((0,), (1,)),
        # A process that waits for a job gets a path, so that it need not load what the job needs.
        process_function=work
        if jobs is None
        else partial(_wait_for_job, jobs, jobs.send(work), notes, name, missing),
        read_write_conflict=False,
        max_workers=min(num_workers, len(missing)),
        max_retries=_MAX_RETRIES,
        timeout=None,
    )
    progress = _Progress(blocks, name, len(starts) - len(missing))
    try:
        states = daisy.run_blockwise(
            task, progress=progress, return_states=True, summary=False, block_tracking=False,
            host="127.0.0.1" if jobs is None else None,  # None: reachable from other machines
        )  # fmt: skip
    except RuntimeError as error:  # daisy has given up starting processes
        last = [line for line in str(error).splitlines() if line.strip()][-1:]
        raise InputError(
            f"{name}: processes ended again and again; what they printed is in "
            f"{blocks.work / 'logs'}: {''.join(last).strip()}"
        ) from error
    finally:
        if jobs is not None:
            jobs.cancel()
        blocks.read_notes()
    (state,) = states.values()
    if state.completed_count < len(missing):
        raise InputError(
            f"{name}: {len(missing) - state.completed_count} of {len(missing)} blocks failed, the "
            f"others are kept; the first error:\n{state.first_worker_error}"
        )


def _interrupt(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


class _Progress:
    """Passes daisy's counts on."""

    def __init__(self, blocks: KeptBlocks, name: str, before: int) -> None:
        self._blocks, self._name, self._before = blocks, name, before

    def on_start(self, states: Any) -> None:
        self.on_progress(states)

    def on_progress(self, states: Any) -> None:
        done = sum(int(state.completed_count) for state in states.values())
        self._blocks.report(self._name, self._before + done)

    def on_finish(self, states: Any) -> None:
        self.on_progress(states)


def _wait_for_job(
    jobs: WorkerJobs, work: Path, notes: str, name: str, missing: Sequence[Start]
) -> None:
    """What a worker process does for a cluster: its job connects to the server itself.

    The server waits for all of its workers, so one whose job is still in the queue when all blocks
    are done must not wait for it.
    """

    def is_over() -> bool:
        failed = Counter(noted(jobs.folder))
        settled = {*noted(Path(notes)), *(k for k, n in failed.items() if n > _MAX_RETRIES)}
        return all(note_of(name, start) in settled for start in missing)

    # Signals to all processes of a command, as when its terminal is closed, must leave the time to
    # cancel the job.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it sees that its parent has gone
    signal.signal(signal.SIGTERM, _interrupt)
    jobs.run(work, {"DAISY_CONTEXT": os.environ["DAISY_CONTEXT"]}, is_over)


def _work(
    missing: Sequence[Start],
    name: str,
    notes_folder: str,
    open_work: Callable[[int], Work],
    failures_folder: str = "",
) -> None:
    """What a worker process does: load once, then one block after the other."""
    import daisy

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal
    client = daisy.Client()
    work = open_work(client.worker_id)
    process = f"{os.uname().nodename}.{os.getpid()}"
    notes, start = BlockNotes(notes_folder, process), None
    failures = 0
    while True:
        try:
            with client.acquire_block() as block:
                if block is None:
                    return
                start = missing[block.write_roi.offset[0]]
                work(start)
                notes.add(name, start)
            failures = 0
        except Exception:  # acquire_block has reported it, with its traceback
            failures += 1
            if failures_folder and start is not None:
                BlockNotes(failures_folder, process).add(name, start)
            if failures == _MAX_FAILURES:
                raise
