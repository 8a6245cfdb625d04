"""The segmentations of one volume that a command asks for, one per setting."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.arrays.kept import check_output, finish, kept_output, kept_work, made_by
from dacapo.arrays.write import FORMATS, fill_ome_zarr
from dacapo.config import encode
from dacapo.errors import InputError
from dacapo.experiments.tasks.post_processors.post_processor import Setting
from dacapo.inference.jobs import SharedWork, segment_into
from dacapo.inference.object_tables import table_names, write_tables
from dacapo.inference.volumes import Prepared, check_apart, provenance, warn_of_space
from dacapo.processes.files import check_writable, locked
from dacapo.training.terminal import block_progress, console, duration, resumable

if TYPE_CHECKING:
    from dacapo.launching.worker_jobs import WorkerJobs
    from dacapo.segment import SegmentConfig

_IS_KEPT = re.compile(r"\.?(prediction|graph)\.")
_OF_OUTPUT = ("levels", "version", "tables")
"""Options on which nothing depends that is shared."""


@dataclass(frozen=True)
class Segmentation:
    """One of them.

    Attributes:
        options: of the command, with one value of each parameter and an output of its own.
        setting: of all parameters.
        cut: the setting that makes the fragments.
        cut_by: its parameters on which fragments and their edges depend.
        tables: the names of the tables beside the output.
    """

    options: SegmentConfig
    setting: Setting
    cut: Setting
    cut_by: Mapping[str, Any]
    tables: Sequence[str]


def single_settings(options: SegmentConfig) -> list[SegmentConfig]:
    """The options with one value of each parameter, and an output for each combination.

    Raises:
        InputError: a list of values is empty, or holds one twice or what is not a number.
    """
    several = {name: list(v) for name, v in options.parameters.items() if isinstance(v, list)}
    for name, values in several.items():
        for value in values:
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise InputError(f"parameters: {name}={value} must be one number")
        if not values or len(set(values)) < len(values):
            raise InputError(f"parameters: {name}={values} must have values that differ")
    found = []
    output = Path(options.output)
    stem = output.name.removesuffix(".zarr").removesuffix(".ome")
    for combination in product(*several.values()):
        own = dict(zip(several, combination, strict=True))
        label = _words(Setting(**{n: v for n, v in own.items() if len(several[n]) > 1}))
        name = f"{stem}.{label}{output.name.removeprefix(stem)}" if label else output.name
        found.append(
            replace(
                options,
                parameters={**options.parameters, **own},
                output=str(output.with_name(name)),
            )
        )
    return found


def check_outputs(options: SegmentConfig, every: Sequence[SegmentConfig]) -> None:
    """Refuse outputs that are in the way, before anything is loaded."""
    for one in every:
        output = Path(one.output)
        check_apart(output, options.input or str(options.prediction))
        check_output(output, one.overwrite or made_by(output) is not None)
        if options.keep is not None:
            _check_keep(Path(options.keep), output)


def _check_keep(keep: Path, output: Path) -> None:
    one, other = keep.resolve(), output.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise InputError(f"keep={keep}: the output lies there, {output}: choose another folder")
    if keep.exists() and not keep.is_dir():
        raise InputError(f"keep={keep} is a file: choose a folder")
    if keep.is_dir() and not all(_IS_KEPT.match(path.name) for path in keep.iterdir()):
        raise InputError(f"keep={keep} holds other files: choose a new folder")
    check_writable(keep, "keep")


def segmentations(prepared: Prepared, every: Sequence[SegmentConfig]) -> list[Segmentation]:
    """What is to be done.

    Raises:
        InputError: see `TrainedModel.choose_parameters`.
    """
    chosen = [prepared.model.choose_parameters(one.parameters) for one in every]
    found = []
    for one, (post_processor, setting) in zip(every, chosen, strict=True):
        # Fragments that are whole segments are left out below the smallest size that is wanted.
        alike = [o for _, o in chosen if _but_for_size(o) == _but_for_size(setting)]
        cut = min(alike, key=lambda other: getattr(other, "min_size", 0))
        if one.keep is not None and hasattr(cut, "min_size"):  # later commands may want any
            cut = Setting(**{**vars(cut), "min_size": 0})
        blockwise = post_processor.blockwise(cut)
        cut_by = {name: v for name, v in vars(cut).items() if name not in blockwise.decided_by}
        tables = table_names(Path(one.output), blockwise.makes, one.tables.value)
        found.append(Segmentation(one, setting, cut, cut_by, tables))
    return found


def _but_for_size(setting: Setting) -> dict[str, Any]:
    return {name: value for name, value in vars(setting).items() if name != "min_size"}


@contextmanager
def kept_folder(options: SegmentConfig, every: Sequence[Segmentation]) -> Iterator[Path | None]:
    """The folder for what segmentations share; unless it was asked for, it is removed when all are
    finished, and a single one has none.

    Raises:
        InputError: another process makes segmentations of this name.
    """
    if options.keep is not None or len(every) == 1:
        yield None if options.keep is None else Path(options.keep)
        return
    output = Path(options.output)
    folder = output.with_name(f".{output.name}.shared")
    with locked(folder, f"output={output}: another process is writing it"):
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def segment(
    wanted: Segmentation, prepared: Prepared, keep: Path | None, jobs: WorkerJobs | None
) -> None:
    """Write one segmentation with its tables, and report it."""
    options, output = wanted.options, Path(wanted.options.output)
    origin = provenance(prepared)
    prediction_key, graph_key = _shared_keys(origin, wanted, prepared)
    origin["parameters"] = vars(wanted.setting)
    if made_by(output) == origin and not options.overwrite:
        finish(output)
        console.print(f"{output} is finished; overwrite=true makes it again")
        return
    console.print(f"{prepared}, {_words(wanted.setting)}: {prepared.prediction.extent()}")
    warn_of_space(output, [prepared.prediction] if options.input else [])
    begin = time.perf_counter()
    with resumable(), block_progress() as progress, ExitStack() as stack:
        blocks = stack.enter_context(
            kept_output(
                output, json.dumps(origin), options.overwrite, progress, beside=wanted.tables
            )
        )
        if blocks.num_done:
            console.print(f"resuming: {blocks.num_done} blocks were done before")
        prediction, graph = (
            stack.enter_context(kept_work(keep / f"{name}.{_digest(key)}", progress))
            if keep is not None else blocks
            for name, key in (("prediction", prediction_key), ("graph", graph_key))
        )  # fmt: skip
        made, labels = segment_into(
            blocks.folder / "0", prepared, options, SharedWork(prediction, graph, wanted.cut),
            blocks, FORMATS[options.version], jobs,
        )  # fmt: skip
        written = fill_ome_zarr(
            blocks.folder, labels, is_labels=True, version=options.version, levels=options.levels,
            chunk=options.chunk, blocks=blocks, attributes={"dacapo": origin},
        )  # fmt: skip
        if wanted.tables:
            write_tables(written, made.grid, wanted.tables, blocks.work / "objects", blocks)
    seconds = time.perf_counter() - begin
    console.print(f"{output}: {made.summary}, {duration(seconds)}")


def _shared_keys(
    origin: Mapping[str, Any], wanted: Segmentation, prepared: Prepared
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the prediction depends on, and what fragments and edges do."""
    options = origin["options"]
    of_graph = {name: v for name, v in options.items() if name not in _OF_OUTPUT}
    of_prediction = {name: v for name, v in of_graph.items() if name not in ("block", "halo")}
    task = encode(prepared.model.saved.task)
    return {**origin, "options": of_prediction}, {
        **origin, "options": of_graph, "task": task, "cut": dict(wanted.cut_by),
    }  # fmt: skip


def _words(setting: Setting) -> str:
    return ",".join(f"{name}={value}" for name, value in vars(setting).items())


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
