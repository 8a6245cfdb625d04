"""Outputs that are written block by block, and continued where a process was interrupted."""

from __future__ import annotations

import glob
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dacapo.errors import InputError
from dacapo.processes.files import locked, make_folder, temporary_name, writing

_WORK = ".work"
_BESIDE = ".work/beside"


class BlockLog:
    """Which blocks of an output are written. The plain one forgets."""

    edge = 0
    """Of the blocks of the finest level, in voxels: a multiple of the chunk; 0: any."""

    def missing(self, name: str, starts: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """The blocks that are not done yet.

        Args:
            name: of the array, or of what is done.
            starts: the first voxel of each block.
        """
        yield from starts

    def is_done(self, name: str, starts: Sequence[tuple[int, ...]]) -> bool:
        """Whether no block is missing; see `missing`."""
        return not starts

    def add(self, name: str, start: tuple[int, ...]) -> None:
        """Note a block that is done."""


class BlockNotes:
    """The blocks that a process has done, a line each; each process has a file of its own.

    `noted` reads those of all.
    """

    def __init__(self, folder: str | Path, process: str) -> None:
        self._file = Path(folder) / f"blocks.{process}.txt"

    def add(self, name: str, start: tuple[int, ...]) -> None:
        """Note a block that is done."""
        with self._file.open("a") as file:
            file.write(f"\n{note_of(name, start)};")


def noted(folder: Path) -> list[str]:
    """What all processes have noted, see `note_of`; a block may come several times."""
    lines = [line for f in folder.glob("blocks.*.txt") for line in f.read_text().split("\n")]
    return [line[:-1] for line in lines if line.endswith(";")]  # others are torn


def note_of(name: str, start: tuple[int, ...]) -> str:
    """The note of a block."""
    return f"{name}:{','.join(map(str, start))}"


class KeptBlocks(BlockLog):
    """Notes the blocks in files; see `kept_output`.

    Attributes:
        folder: the output while it is unfinished.
        work: a folder for what is needed until the output is finished.
        beside: a folder for what belongs beside the finished output.
        share: the part of the first array that this process has written.
    """

    def __init__(self, folder: Path, progress: Callable[[str, int, int], None], edge: int) -> None:
        self.folder, self.edge, self.share = folder, edge, 0.0
        self.work, self.beside = folder / _WORK, folder / _BESIDE
        self._notes = BlockNotes(self.work, "main")
        self._progress = progress
        self._counts: dict[str, list[int]] = {}
        self._done: set[str] = set()
        self.read_notes()

    @property
    def num_done(self) -> int:
        """The number of blocks that are done, of all arrays and passes."""
        return len(self._done)

    def read_notes(self) -> None:
        """Read what all processes have noted."""
        self._done |= set(noted(self.work))

    def missing(self, name: str, starts: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        left = [start for start in starts if note_of(name, start) not in self._done]
        before = self._counts.get(name)
        self._counts[name] = [len(starts) - len(left), len(starts)]
        if before is not None and name == next(iter(self._counts)):  # others have worked on it
            self.share += (self._counts[name][0] - before[0]) / len(starts)
        self._progress(name, *self._counts[name])
        yield from left

    def is_done(self, name: str, starts: Sequence[tuple[int, ...]]) -> bool:
        return all(note_of(name, start) in self._done for start in starts)

    def report(self, name: str, done: int) -> None:
        """Show how many blocks other processes have done."""
        self._progress(name, done, self._counts[name][1])

    def add(self, name: str, start: tuple[int, ...]) -> None:
        self._notes.add(name, start)
        self._done.add(note_of(name, start))
        self._counts[name][0] += 1
        if name == next(iter(self._counts)):
            self.share += 1 / self._counts[name][1]
        self._progress(name, *self._counts[name])


def check_output(path: Path, overwrite: bool, beside: Sequence[str] = ()) -> None:
    """Refuse an output that is in the way.

    Args:
        beside: names of files that belong beside it.

    Raises:
        InputError: something is there that is not to be replaced, or must not be.
    """
    if not path.exists() and not path.is_symlink():
        for name in beside:
            if path.with_name(name).exists() and not overwrite:
                raise InputError(
                    f"output={path}: {path.with_name(name)}, which belongs to it, exists already: "
                    f"choose another, or overwrite=true"
                )
        return
    if not overwrite:
        raise InputError(f"output={path} exists already: choose another, or overwrite=true")
    if made_by(path) is None:
        raise InputError(
            f"output={path} was not written by this command, so overwrite=true does not replace "
            f"it: choose another, or remove it"
        )


def made_by(path: Path) -> object:
    """What the attributes of an output say of how it was made; None if it is not an output."""
    import zarr

    try:
        return zarr.open_group(str(path), mode="r").attrs.get("dacapo")
    except (OSError, ValueError, TypeError, KeyError):  # what zarr raises for odd metadata
        return None


@contextmanager
def kept_output(
    path: Path,
    key: str,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda name, done, num: None,
    edge: int = 0,
    beside: Sequence[str] = (),
) -> Iterator[KeptBlocks]:
    """An output to fill, as `.NAME.KEY.unfinished` until it is complete.

    If the process is interrupted, the next one with the same key continues there. Another key has
    another folder, so that workers that outlive a killed process cannot write into it. An older
    output is replaced when the new one is complete, not before.

    Args:
        key: identifies what is written and how; an unfinished output of another key is refused.
        overwrite: replace what is in the way.
        progress: called with a name, the number of its blocks that are done, and of all.
        beside: names of files that belong beside the output; they are written to
            `KeptBlocks.beside` and moved when it is complete.

    Raises:
        InputError: the output is in the way, another process is writing it, or the disk is full.
    """
    check_output(path, overwrite, beside)
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    unfinished = path.with_name(f".{path.name}.{digest}.unfinished")
    with writing(path):
        make_folder(path.parent)
        with locked(path, f"output={path}: another process is writing it"):
            others = set(path.parent.glob(f".{glob.escape(path.name)}.????????.unfinished"))
            for other in others - {unfinished}:
                if not overwrite:
                    raise InputError(
                        f"output={path}: {other} was begun with other input, weights or options: "
                        f"repeat those, choose another output, or overwrite=true"
                    )
                shutil.rmtree(other)
            for folder in (_BESIDE, _WORK):
                (unfinished / folder).mkdir(parents=True, exist_ok=True)
            yield KeptBlocks(unfinished, progress, edge)
            replaced = temporary_name(path)
            if path.exists():
                path.rename(replaced)
            unfinished.rename(path)
            shutil.rmtree(replaced, ignore_errors=True)
            finish(path)


@contextmanager
def kept_work(
    path: Path, progress: Callable[[str, int, int], None] = lambda name, done, num: None
) -> Iterator[KeptBlocks]:
    """A folder for work that several outputs need; it stays, and is continued by the next process.

    Args:
        path: what identifies the work belongs into its name.
        progress: see `kept_output`.

    Raises:
        InputError: another process is writing it, or the disk is full.
    """
    with writing(path):
        make_folder(path / _WORK)
        with locked(path, f"{path}: another process is writing it"):
            yield KeptBlocks(path, progress, 0)


def finish(path: Path) -> None:
    """Move what belongs beside a complete output there, and remove what was needed to make it.

    A process may have been killed before it did so.
    """
    if (path / _BESIDE).exists():
        for file in (path / _BESIDE).iterdir():
            file.replace(path.parent / file.name)
    shutil.rmtree(path / _WORK, ignore_errors=True)
