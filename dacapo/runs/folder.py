"""The folder of a run: config, logs, checkpoints, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dacapo.errors import InputError
from dacapo.runs.atomic import write_atomically
from dacapo.runs.history import History, read_history
from dacapo.runs.lease import claim
from dacapo.runs.log import log_files
from dacapo.runs.submission import Submission
from dacapo.runs.writer import ERROR_FILE, RunWriter

if TYPE_CHECKING:
    from torch import Tensor

    from dacapo.experiments.starts.start import Source
    from dacapo.nn.weights import Weights

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RunFolder:
    """`runs_dir/name/repetition`, for reading; `writing` yields a writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints_dir = path / "checkpoints"

    @property
    def label(self) -> str:
        """name/repetition."""
        return "/".join(self.path.parts[-2:])

    def read_document(self) -> dict[str, Any]:
        """The document passed to `writing`: the config of the run, its options and overrides."""
        document = _read_yaml(self.path / "config.yaml")
        assert isinstance(document, dict)
        return document

    def read_history(self) -> History:
        """Replay the logs."""
        return read_history(self.path)

    def read_submission(self) -> Submission | None:
        """The submission that a launcher noted; None without one."""
        try:
            return Submission.decode((self.path / "job.json").read_text())
        except FileNotFoundError:
            return None

    def num_writers(self) -> int:
        """The number of processes that have worked on the run so far."""
        return len(log_files(self.path))

    def checkpoints(self) -> list[int]:
        """The iterations of the checkpoints."""
        return sorted(int(p.stem) for p in self.checkpoints_dir.glob("[0-9]*.safetensors"))

    def checkpoint(self, iteration: int) -> Path:
        """The file of a checkpoint."""
        return self.checkpoints_dir / f"{iteration:08d}.safetensors"

    def snapshot(self, iteration: int) -> Path:
        """The folder of a snapshot: a batch, its targets and its prediction."""
        return self.path / "snapshots" / f"{iteration:08d}"

    def snapshots(self) -> list[int]:
        """The iterations of the snapshots."""
        return sorted(int(p.name) for p in (self.path / "snapshots").glob("[0-9]*"))

    def read_checkpoint(self, iteration: int) -> dict[str, Tensor]:
        """The tensors of a checkpoint.

        Raises:
            CheckpointError: the file is truncated or damaged.
        """
        return self._read_checkpoint(iteration)[0]

    def _read_checkpoint(self, iteration: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        from dacapo.runs.checkpoint import CheckpointError, read_checkpoint

        path = self.checkpoint(iteration)
        tensors, notes = read_checkpoint(path)
        if notes.get("iteration") != str(iteration):
            raise CheckpointError(f"{path}: holds iteration {notes.get('iteration')}")
        return tensors, notes

    def read_weights_of(self, source: Source) -> Weights:
        """The weights of another run below the same `runs_dir`: their moving average, if it has
        one."""
        from dacapo.nn.weights import Weights
        from dacapo.runs.checkpoint import CheckpointError

        other = RunFolder(self.path.parent.parent / source.run)
        stored = other.checkpoints()
        iteration = source.iteration
        if iteration is None:
            table = other.read_history().table()
            best = None if table is None else table.among(stored).best(source.criterion)
            iteration = None if best is None else best.iteration
        if iteration not in stored:
            raise InputError(
                f"start: {other.path} has no checkpoint of iteration {iteration}; it has "
                f"{', '.join(map(str, stored)) or 'none'}"
            )
        try:
            return Weights.of_checkpoint(*other._read_checkpoint(iteration))
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
            for leftover in self.checkpoints_dir.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            (self.path / ERROR_FILE).unlink(missing_ok=True)
            self._write_document(document)
            with RunWriter(self, log) as writer:
                writer.describe(document)
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
        for other in self.path.parent.glob("*/config.yaml"):
            theirs = _read_yaml(other)["identity"]
            differ = list(_differences(theirs, document["identity"]))
            # A run that failed before its first step has nothing that a new one could corrupt.
            if differ and RunFolder(other.parent).read_history().trained_until:
                key, old, new = differ[0]
                hint = (
                    f" To train it further, give trainer.schedule_iterations={old}."
                    if key == "trainer.schedule_iterations"
                    else ""
                )
                raise InputError(
                    f"{other.parent} holds a run with another config: {key} is {old} there and "
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
    """All runs below a folder, by name and repetition."""
    found = [RunFolder(p.parent) for p in runs_dir.glob("*/*/config.yaml")]
    return sorted(found, key=lambda f: (f.path.parent.name, f.path.name.zfill(9)))


def _read_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(), _Loader)


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The differences between two nested dicts: (dotted key, old, new)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in sorted(old.keys() | new.keys()):
            inner = f"{key}.{part}" if key else part
            yield from _differences(old.get(part), new.get(part), inner)
    elif old != new:
        yield key, old, new
