"""The folder of a run: config, logs, checkpoints, pictures."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dacapo.errors import InputError, did_you_mean
from dacapo.processes.files import (
    UnreadableError,
    check_yaml,
    read_regular,
    reading,
    write_atomically,
)
from dacapo.runs.history import History, Past, read_history
from dacapo.runs.lease import claim
from dacapo.runs.log import log_files, log_number
from dacapo.runs.submission import Submission
from dacapo.runs.writer import ERROR_FILE, RunWriter

if TYPE_CHECKING:
    from torch import Tensor

    from dacapo.experiments.score_table import ScoreHeader
    from dacapo.experiments.starts.start import Source
    from dacapo.nn.weights import Weights

_NUMBER = re.compile(r"\d+", re.ASCII)
_ITERATION = re.compile(r"\d{8,}", re.ASCII)
_MAX_NUMBER = 2**63
_MAX_YAML = 2**22
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RunFolder:
    """`runs_dir/name/repetition`, for reading; `writing` yields a writer.

    Args:
        prefix: of the label, for runs of several folders.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path, self._prefix = path, prefix
        self.checkpoints_dir = path / "checkpoints"

    def holds_run(self) -> bool:
        """Whether the folder holds files of a run, perhaps without its config; if not, it may be a
        level of an OME-Zarr image."""
        try:
            names = os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # whoever reads it reports why it cannot be listed
        is_run = not {"config.yaml", "job.json", "checkpoints"}.isdisjoint(names)
        return is_run or any(map(log_number, names))

    @property
    def label(self) -> str:
        """name/repetition."""
        return self._prefix + "/".join(self.path.parts[-2:])

    def read_document(self, history: History | None = None) -> dict[str, Any]:
        """The document passed to `writing`: the config of the run, its options and overrides.

        Args:
            history: it may hold the document, which is faster to read than the yaml.

        Raises:
            UnreadableError: there is none, or it is not a document.
        """
        if history is not None and history.document:
            path, document = self.path, history.document
        else:
            path = self.path / "config.yaml"
            document = _read_yaml(path)
        with reading(path):
            return check_document(document)

    def read_history(self) -> History:
        """Replay the logs.

        Raises:
            UnreadableError: a log cannot be read.
        """
        return read_history(self.path)

    def read_submission(self) -> Submission | None:
        """The submission that a launcher noted; None without one.

        Raises:
            UnreadableError: the note cannot be read.
        """
        path = self.path / "job.json"
        try:
            with reading(path):
                return Submission.decode(read_regular(path))
        except FileNotFoundError:
            return None

    def num_writers(self) -> int:
        """The number of processes that have worked on the run so far."""
        return len(log_files(self.path))

    def checkpoints(self) -> list[int]:
        """The iterations of the checkpoints."""
        found = self.checkpoints_dir.glob("*.safetensors")
        return sorted(int(p.stem) for p in found if _ITERATION.fullmatch(p.stem))

    def checkpoint(self, iteration: int) -> Path:
        """The file of a checkpoint."""
        return self.checkpoints_dir / f"{iteration:08d}.safetensors"

    def snapshot(self, iteration: int) -> Path:
        """The folder of a snapshot: a batch, its targets and its prediction."""
        return self.path / "snapshots" / f"{iteration:08d}"

    def snapshots(self) -> list[int]:
        """The iterations of the snapshots."""
        found = (self.path / "snapshots").glob("*")
        return sorted(int(p.name) for p in found if _ITERATION.fullmatch(p.name))

    def set_aside(self, path: Path) -> None:
        """Move a damaged file of the run to the folder `void`, from which nothing is read."""
        target = self.path / "void" / path.relative_to(self.path)
        if target.exists():
            target = target.with_name(f"{secrets.token_hex(4)}-{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        except OSError as error:
            raise InputError(f"cannot move {path} to {target}: {error.strerror}") from error

    def read_checkpoint(self, iteration: int) -> dict[str, Tensor]:
        """The tensors of a checkpoint.

        Raises:
            CheckpointError: the file is truncated or damaged.
        """
        return self.read_whole_checkpoint(iteration)[0]

    def read_whole_checkpoint(
        self, iteration: int
    ) -> tuple[dict[str, Tensor], dict[str, str], Past | None]:
        """The tensors of a checkpoint, its notes, and the history that led to it.

        Raises:
            CheckpointError: the file is truncated or damaged.
        """
        from dacapo.runs.checkpoint import CheckpointError, read_checkpoint

        path = self.checkpoint(iteration)
        tensors, notes, past = read_checkpoint(path)
        if notes.get("iteration") != str(iteration):
            raise CheckpointError(f"{path}: holds iteration {notes.get('iteration')}")
        return tensors, notes, past

    def find_weights_of(self, source: Source) -> tuple[RunFolder, int]:
        """Another run below the same `runs_dir`, and the iteration of its weights.

        Raises:
            InputError: there is no such run, or it has no such checkpoint.
        """
        runs_dir = self.path.parent.parent
        other = RunFolder(runs_dir / source.run)
        if not other.holds_run():
            raise InputError(f"start.{missing_run(source.run, runs_dir)}")
        stored = other.checkpoints()
        iteration = source.iteration
        if iteration is None:
            table = other.read_history().table()
            best = None if table is None else table.among(stored).best(source.criterion)
            if not stored:
                raise InputError(f"start.run={source.run}: the run has no checkpoint yet")
            if best is None:
                raise InputError(
                    f"start.run={source.run}: none of its checkpoints was validated; give "
                    f"start.iteration, of {', '.join(map(str, stored))}"
                )
            iteration = best.iteration
        if iteration not in stored:
            raise InputError(
                f"start.iteration={iteration}: {other.path} has no such checkpoint; it has "
                f"{', '.join(map(str, stored)) or 'none'}"
            )
        return other, iteration

    def read_weights_of(self, source: Source) -> Weights:
        """The weights of another run below the same `runs_dir`: their moving average, if it has
        one."""
        from dacapo.nn.weights import Weights
        from dacapo.runs.checkpoint import CheckpointError

        other, iteration = self.find_weights_of(source)
        try:
            return Weights.of_checkpoint(*other.read_whole_checkpoint(iteration)[:2])
        except CheckpointError as error:
            raise InputError(f"start: {error}") from error

    @contextmanager
    def writing(self, document: Mapping[str, Any]) -> Iterator[RunWriter]:
        """Claim the folder and write to it; on exit, notes how the work ended.

        Args:
            document: `config`, `identity` and more, as plain data.

        Raises:
            BusyError: another process is working on the run.
            InputError: the folder belongs to a run with another config.
        """
        self.check_identity(document)
        self._make()
        with claim(self.path) as log:
            for folder in (self.path, self.checkpoints_dir):
                for leftover in folder.glob(".*.tmp"):
                    leftover.unlink(missing_ok=True)
            (self.path / ERROR_FILE).unlink(missing_ok=True)
            self._write_document(document)
            with RunWriter(self, log) as writer:
                writer.describe(document)
                yield writer

    @contextmanager
    def scoring(self, header: ScoreHeader) -> Iterator[RunWriter]:
        """Claim the folder to add scores of the checkpoints that it has, without training.

        Raises:
            BusyError: another process is working on the run.
        """
        with claim(self.path) as log, RunWriter(self, log) as writer:
            writer.begin_scores(header)
            yield writer

    def submit(self, document: Mapping[str, Any], submission: Submission) -> None:
        """Note that the run was submitted to a launcher or scheduler, which will start a writer."""
        self.check_identity(document)
        self._make()
        if not (self.path / "config.yaml").exists():
            self._write_document(document)
        write_atomically(self.path / "job.json", submission.encode())

    def mark_lost(self, submission: Submission, reason: str) -> None:
        """Note that the submitted job has ended without the run noting how."""
        write_atomically(self.path / "job.json", replace(submission, lost=reason).encode())

    def check_identity(self, document: Mapping[str, Any]) -> None:
        """Refuse two configs under one name; siblings may only differ in their repetition."""
        for path in self.path.parent.glob("*/"):
            other = RunFolder(path)
            try:
                if not other.holds_run():
                    continue
                # The log holds the document, too, should the yaml be lost.
                history = other.read_history()
                theirs = other.read_document(history)["identity"]
                differ = list(_differences(theirs, document["identity"]))
                # A run that failed before its first step has nothing that a new one could corrupt.
                if not differ or not (history.trained_until or other.checkpoints()):
                    continue
            except FileNotFoundError:  # deleted since
                continue
            except UnreadableError:
                if other.path == self.path:
                    raise
                continue  # only its own writer is in its way
            else:
                key, old, new = differ[0]
                hint = (
                    f" To train it further, give trainer.schedule_iterations={old}."
                    if key == "trainer.schedule_iterations"
                    else ""
                )
                raise InputError(
                    f"{other.path} holds a run with another config: {key} is {old} there and "
                    f"{new} here ({len(differ)} differences).{hint} Choose another name="
                )

    def _make(self) -> None:
        try:
            self.checkpoints_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"runs_dir: cannot write {self.path}: {error.strerror}") from error

    def _write_document(self, document: Mapping[str, Any]) -> None:
        text = yaml.safe_dump(dict(document), sort_keys=False)
        write_atomically(self.path / "config.yaml", text.encode())


def find_run_folders(runs_dir: Path) -> list[RunFolder]:
    """All runs below a folder, by name and repetition.

    Raises:
        UnreadableError: the folder cannot be listed.
    """
    found = []
    for parent in _subfolders(runs_dir):
        try:
            paths = [p for p in _subfolders(parent) if _NUMBER.fullmatch(p.name)]
            found += [folder for folder in map(RunFolder, paths) if folder.holds_run()]
        except UnreadableError:
            found.append(RunFolder(parent / "?"))  # whoever reads it reports why
    return sorted(found, key=lambda f: (f.path.parent.name, f.path.name.zfill(9)))


def missing_run(name: str, runs_dir: Path) -> str:
    """The message for a run that does not exist."""
    known = [folder.label for folder in find_run_folders(runs_dir)]
    known += sorted({label.partition("/")[0] for label in known})
    return f"run={name}: there is no such run below {runs_dir}{did_you_mean(name, known)}"


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones; none if it does not exist."""
    try:
        with reading(folder), os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if e.name[0] != "." and e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def check_document(document: object) -> dict[str, Any]:
    """A document as `RunRequest.document` makes it, with what every reader needs.

    Raises:
        ValueError: it is something else.
    """
    keys: dict[str, type] = {"config": dict, "identity": dict, "choices": dict, "overrides": list}
    if not isinstance(document, dict):
        raise ValueError("not the config of a run")
    for key, kind in keys.items():
        if not isinstance(document.get(key), kind):
            raise ValueError(f"not the config of a run: {key} is {document.get(key)!r:.99}")
    if not all(isinstance(override, str) for override in document["overrides"]):
        raise ValueError("not the config of a run: an override is not text")
    config = document["config"]
    name, numbers = config.get("name"), [config.get(k) for k in ("repetition", "num_iterations")]
    is_good = isinstance(name, str) and all(
        isinstance(n, int) and 0 <= n < _MAX_NUMBER for n in numbers
    )
    if not is_good:
        raise ValueError(
            f"not the config of a run: it has name={name!r:.99}, numbers={numbers!r:.99}"
        )
    return document


def _read_yaml(path: Path) -> Any:
    with reading(path):
        text = read_regular(path, _MAX_YAML)
        check_yaml(text)
        try:
            return yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The differences between two nested dicts: (dotted key, old, new)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in sorted(old.keys() | new.keys()):
            inner = f"{key}.{part}" if key else part
            yield from _differences(old.get(part), new.get(part), inner)
    elif old != new:
        yield key, old, new
