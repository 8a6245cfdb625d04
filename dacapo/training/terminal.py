"""The output of a run in the terminal."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from dacapo.errors import printable
from dacapo.experiments.score_table import ScoreTable
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.experiments.training_stats import TrainingStats
from dacapo.experiments.validation_scores import ValidationScores
from dacapo.processes.files import format_bytes

console = Console(highlight=False, soft_wrap=True, markup=False)
if not console.is_terminal:
    console.width = 240  # lines in a log file are not wrapped

_MINUTE = 60.0
_FIRST_STEPS = 10
_MAX_ROWS = 500
_MIN_EFFICIENCY = 0.8
_ENOUGH_STEPS = 100
"""Fewer steps than these are no reason for advice."""


@contextmanager
def reported(what: Callable[[], str] | str, every: float = _MINUTE) -> Iterator[None]:
    """Print what is being done once a minute, with the time it has taken; not where bars show it.

    Args:
        what: the text, or what gives it.
        every: seconds between lines.
    """
    ended, begin = threading.Event(), time.perf_counter()

    def report() -> None:
        while not ended.wait(every):
            text = what if isinstance(what, str) else what()
            console.print(f"{text} (after {elapsed(begin)})")

    if _has_bars() or console.quiet:
        yield
        return
    thread = threading.Thread(target=report, name="report", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class TrainingProgress:
    """A bar with loss, rate and time left; without a terminal, a line once a minute."""

    def __init__(self, progress: Progress, bar: TaskID | None, begin: int, end: int) -> None:
        self._progress, self._bar = progress, bar
        self._done, self._end = begin, end
        self._loss: float | None = None
        self._rate: float | None = None
        self._activity = ""

    def step(self, stats: TrainingIterationStats) -> None:
        """Show a finished step."""
        seconds = stats.time
        self._loss = stats.loss if self._loss is None else 0.95 * self._loss + 0.05 * stats.loss
        self._rate = seconds if self._rate is None else 0.9 * self._rate + 0.1 * seconds
        self._done = stats.iteration + 1
        self._update()

    @contextmanager
    def doing(self, activity: str) -> Iterator[None]:
        """Show something other than training, such as validating."""
        self._activity = f"{activity} "
        self._update()
        yield
        self._activity = ""
        self._update()

    def line(self) -> str:
        """The progress in words."""
        text = f"{self._activity}iteration {self._done}/{self._end}"
        if self._loss is None or self._rate is None:
            return text
        left = duration(self._rate * (self._end - self._done))
        return f"{text}: {self._speed()}, {left} left"

    def say(self, line: str) -> None:
        """Print a permanent line."""
        self._progress.console.print(line)

    def _speed(self) -> str:
        if self._loss is None or self._rate is None:
            return self._activity
        return f"loss {self._loss:.4f}, {1 / max(self._rate, 1e-9):.2f} it/s"

    def _update(self) -> None:
        if self._bar is not None:
            text = f"{self._activity}{self._speed()}" if self._activity else self._speed()
            self._progress.update(self._bar, completed=self._done, text=text)


@contextmanager
def training_progress(
    name: str, begin: int, end: int, every: float = _MINUTE
) -> Iterator[TrainingProgress]:
    """A bar from `begin` to `end` iterations; only in a terminal, and not under CI."""
    visible = _has_bars()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not visible, speed_estimate_period=60) as bars:
        bar = bars.add_task(name, total=end, completed=begin, text="") if visible else None
        shown = TrainingProgress(bars, bar, begin, end)
        with reported(shown.line, every):
            yield shown


@contextmanager
def resumable() -> Iterator[None]:
    """Say what to do after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        console.print("interrupted: rerun the same command to resume")
        raise


@contextmanager
def block_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each array that is written in blocks; without a terminal, a line once a minute.

    Yields:
        A function of the array's name, the number of blocks that are written, and of all.
    """
    line, begin, first = "", 0.0, 0
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("blocks, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not _has_bars()) as bars:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, num: int) -> None:
            nonlocal line, begin, first
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=num, completed=done)
                begin, first = time.perf_counter(), done
            bars.update(tasks[name], completed=done)
            passed, made = time.perf_counter() - begin, done - first
            left = f", {duration(passed / made * (num - done))} left" if made else ""
            line = f"{name}: block {done}/{num}{left}"

        with reported(lambda: line):
            yield report


@contextmanager
def download_progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for a download; without a terminal, a line once a minute.

    Yields:
        A function of the bytes that have arrived, and of all, if that is known.
    """
    line, begin, first = "", 0.0, 0
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(),
        TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not _has_bars()) as bars:
        task: TaskID | None = None

        def report(done: int, num: int | None) -> None:
            nonlocal line, begin, first, task
            if task is None:
                task = bars.add_task(name, total=num, completed=done)
                begin, first = time.perf_counter(), done
            bars.update(task, completed=done, total=num)
            passed, made = time.perf_counter() - begin, done - first
            left = "" if num is None or not made else duration(passed / made * (num - done))
            of = "" if num is None else f" of {format_bytes(num)}, {left or '?'} left"
            line = f"{name}: {format_bytes(done)}{of}"

        with reported(lambda: line):
            yield report


def _has_bars() -> bool:
    # Colours may be forced where output goes to a file, as in notebooks; bars would fill it.
    return console.is_terminal and console.file.isatty() and not os.environ.get("CI")


def score_line(stats: TrainingStats, scores: ValidationScores, criterion: str) -> str:
    """The latest validation in one line, with the best parameters at this iteration."""
    latest = scores.subscores(scores.scores[-1:])
    best = latest.best(criterion)
    iteration = latest.scores[0].iteration
    recent = [s.loss for s in stats.iteration_stats[-100:]]
    text = f"{criterion} could not be computed" if best is None else best.text
    return f"iteration {iteration}: loss {sum(recent) / len(recent):.4f}, {text}"


def speed_line(stats: TrainingStats) -> str:
    """The rate of the loop beside that of steps by themselves, and what to change if it is much
    lower."""
    rate, alone = rates(stats)
    if math.isnan(alone):
        return ""
    share = rate / alone
    line = f"{rate:.3g} it/s, {share:.0%} of the {alone:.3g} it/s of the step by itself"
    if share >= 1:  # both vary
        line = f"{rate:.3g} it/s, as fast as the step by itself"
    if share < _MIN_EFFICIENCY and len(stats.iteration_stats) >= _ENOUGH_STEPS:
        line += (
            ": raise trainer.num_workers if cores are idle, use fewer or cheaper trainer/augments, "
            "or store raw in smaller chunks or on a faster disk"
        )
    return line


def rates(stats: TrainingStats) -> tuple[float, float]:
    """Iterations per second of the loop, and of steps by themselves; NaN if not measured.

    The first steps are left out, because their batches could not be prepared ahead.
    """
    steps = stats.iteration_stats[_FIRST_STEPS:]
    times = [s.time for s in steps if s.time > 0]
    alone = [s.alone for s in steps if s.alone > 0]
    return (
        len(times) / sum(times) if times else math.nan,
        1 / float(np.median(alone)) if alone else math.nan,
    )


def show_scores(scores: ScoreTable | None, criterion: str) -> None:
    """Print a table of all validations, if there are some, each with its best parameters.

    It shows the criterion that selects, and those whose best weights are worth keeping.
    """
    if scores is None:
        return
    criteria = scores.header.criteria
    shown = [c["name"] for c in criteria if c["name"] == criterion or c["store_best"]]
    columns = [scores.header.find(name)[0] for name in shown]
    rows = []
    for index, iteration in enumerate(scores.iterations):
        best = scores.among([iteration]).best(criterion)
        if best is None:
            rows.append([f"{iteration}", *["nan"] * len(shown), "none"])
            continue
        means = scores.means[index, best.parameters, columns]
        rows.append([f"{iteration}", *(f"{m:.3f}" for m in means), best.label])
    overall = scores.best(criterion)
    caption = "" if overall is None else f"best: iteration {overall.iteration}, {overall.text}"
    print_table("Validation", ["iteration", *shown, "parameters"], rows, caption)


def counted(num: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "run"), counted(0, "run")
    ('1 run', '0 runs')
    """
    return f"{num} {what}" + "s" * (num != 1)


def elapsed(since: float) -> str:
    """Time since a `time.perf_counter()`, as 3:07.

    >>> import time
    >>> elapsed(time.perf_counter() - 187)
    '3:07'
    """
    return duration(time.perf_counter() - since)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(187), duration(3787)
    ('3:07', '1:03:07')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def print_table(title: str, columns: list[str], rows: list[list[str]], caption: str = "") -> None:
    """Print a table, unless it is empty; the first column is text, the others are numbers."""
    if not rows:
        return
    rows = [[printable(cell) for cell in row] for row in rows]  # names may be another's
    if len(rows) > _MAX_ROWS:
        _print_long_table(title, columns, rows, caption)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    if sum(widths) + 3 * len(widths) + 1 > console.width:
        broken = [[_with_breaks(cell) for cell in row] for row in (columns, *rows)]
        needed = [max(len(p) for cell in cells for p in cell.split()) if any(cells) else 0
                  for cells in zip(*broken, strict=True)]  # fmt: skip
        if sum(needed) + 3 * len(needed) + 1 > console.width:
            _print_records(title, columns, rows, caption)
            return
        columns, *rows = broken
    out = Table(title=title, caption=caption or None, title_justify="left", caption_justify="left")
    for number, column in enumerate(columns):
        out.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        out.add_row(*row)
    console.print(out)


def _print_records(title: str, columns: list[str], rows: list[list[str]], caption: str) -> None:
    """Print each row as a list, in a terminal that is too narrow for a table."""
    console.print(title)
    width = max(map(len, columns[1:]), default=0)
    for first, *rest in rows:
        console.print(first)
        for column, cell in zip(columns[1:], rest, strict=True):
            if cell:
                console.print(f"  {column.ljust(width)}  {cell}")
    if caption:
        console.print(caption)


def _with_breaks(text: str) -> str:
    """A name or a list of parameters in lines, so that no word is cut in a narrow terminal.

    >>> _with_breaks("adapted_rand_error").split(), _with_breaks("bias=0.3,min_size=64").split()
    (['adapted_', 'rand_', 'error'], ['bias=0.3,', 'min_size=64'])
    """
    separator = "," if "," in text else "/" if "/" in text else "_"
    return text.replace(separator, f"{separator}\n")


def _print_long_table(title: str, columns: list[str], rows: list[list[str]], caption: str) -> None:
    """Print thousands of rows in plain columns; rich lays out a cell in 0.1 ms."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in (columns, *rows)
    ]
    print("\n".join([title, *lines, *([caption] if caption else [])]))
