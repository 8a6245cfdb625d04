"""What is known of how a run, a checkpoint, a Dataset or an image was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dacapo.arrays.kept import made_by
from dacapo.comparison.collect import COMPARISON_MARK, open_dataset
from dacapo.comparison.test_scores import read_final_scores
from dacapo.errors import InputError
from dacapo.processes.code import describe
from dacapo.runs import RunFolder, missing_run, read_state
from dacapo.runs.checkpoint import CheckpointError
from dacapo.runs.history import History, StoredScores

_CHECKPOINTS = "checkpoints"


def explain(path: str, runs_dir: Path) -> dict[str, Any]:
    """How something was made, as plain data.

    Args:
        path: a run (its folder, or name/repetition below `runs_dir`), a checkpoint, a Dataset of
            `dacapo.compare`, an image of `dacapo.predict` or `dacapo.segment`, or a package.

    Raises:
        InputError: it is none of these, or cannot be read.
    """
    found = Path(path)
    if not found.exists():
        found = runs_dir / path
        if not found.is_dir():
            raise InputError(
                f"path={path}: there is no such file or folder, and {_no_run(path, runs_dir)}"
            )
    if RunFolder(found).holds_run():
        return _of_run(RunFolder(found))
    if repetitions := sorted(p.name for p in _subfolders(found) if RunFolder(p).holds_run()):
        raise InputError(
            f"path={path}: name one of its repetitions, like {found.name}/{repetitions[0]}"
        )
    if found.suffix == ".safetensors" and found.parent.name == _CHECKPOINTS:
        return _of_checkpoint(found)
    if found.suffix in (".nc", ".zarr") and (known := _of_dataset(found)):
        return known
    if found.is_dir() and isinstance(made := made_by(found), dict):
        return {"image": str(found), **made}
    if found.suffix == ".zip" or (found / "rdf.yaml").is_file():
        from dacapo.inference.saved import of_package

        try:
            return {"package": str(found), **of_package(found).describe()}
        except InputError as error:
            raise InputError(str(error).replace("run=", "path=", 1)) from error
    raise InputError(
        f"path={path} is not a run, a checkpoint, a Dataset of dacapo.compare, an image of "
        f"dacapo.predict or dacapo.segment, or a package of dacapo.export"
    )


def _subfolders(path: Path) -> list[Path]:
    return [p for p in path.iterdir() if p.is_dir()] if path.is_dir() else []


def _no_run(path: str, runs_dir: Path) -> str:
    return missing_run(path, runs_dir).partition(": ")[2] if runs_dir.is_dir() else "no such run"


def _of_run(folder: RunFolder) -> dict[str, Any]:
    history = folder.read_history()
    document = folder.read_document(history)
    state = read_state(folder, history)
    config = document["config"]
    best = history.best()
    tests = read_final_scores(folder)
    code = document.get("code", {})
    return {
        "run": str(folder.path),
        "state": state.name,
        **({"error": state.error} if state.error else {}),
        "iterations": f"{history.trained_until} of {config['num_iterations']}",
        "seed": config["repetition"],
        "code": describe(code) if code else "unknown",
        "changes": sorted(p.name for p in folder.path.glob("code-*.diff")),
        "python": code.get("python", ""),
        "libraries": code.get("libraries", {}),
        "machine": document.get("machine", {}),
        "last process": str(history.owner or ""),
        "options": document["choices"],
        "overrides": document["overrides"],
        "config": str(folder.path / "config.yaml"),
        "data": document.get("data", {}),
        "best": None if best is None else f"iteration {best.iteration}, {best.text}",
        "scored": _scoring(history.validations),
        "scored otherwise": _scoring(history.others),
        "test scores": {score.volume: score.scores for score in tests.scores},
        "test volumes opened": [vars(opening) for opening in tests.openings],
        "cost": {k: v for k, v in history.outcome.items() if isinstance(v, int | float) and v == v},
        "damage": history.damage,
    }


def _scoring(validations: Sequence[StoredScores]) -> list[dict[str, Any]]:
    """The ways in which a run was scored, and at which iterations."""
    by_way: dict[str, dict[str, Any]] = {}
    for stored in validations:
        own = by_way.setdefault(
            stored.header.scoring + repr(stored.header.axes[1]),
            {**stored.header.settings, "iterations": []},
        )
        own["iterations"].append(stored.iteration)
    return list(by_way.values())


def _of_checkpoint(path: Path) -> dict[str, Any]:
    folder = RunFolder(path.parents[1])
    if not folder.holds_run():
        raise InputError(f"path={path}: the checkpoint does not lie in the folder of a run")
    if not path.stem.isdigit() or folder.checkpoint(int(path.stem)).resolve() != path.resolve():
        raise InputError(f"path={path} is not a checkpoint of the run")
    iteration = int(path.stem)
    try:
        _, notes, _ = folder.read_whole_checkpoint(iteration)
    except CheckpointError as error:
        raise InputError(f"path={error}") from error
    history = folder.read_history()
    return {
        "checkpoint": str(path),
        "iteration": iteration,
        "channels": notes.get("channels", ""),
        "scores": _best_at(history, iteration),
        "made by": _of_run(folder),
    }


def _best_at(history: History, iteration: int) -> str:
    table = history.table()
    best = None if table is None else table.among([iteration]).best()
    return "not validated" if best is None else best.text


def _of_dataset(path: Path) -> dict[str, Any]:
    """Empty if it is another file."""
    try:
        with open_dataset(path) as dataset:
            if COMPARISON_MARK not in dataset.attrs:
                return {}
            names = [n for n in ("status", "code", "data") if n in dataset.coords]
            runs = {
                str(label): {name: str(dataset[name].values[at]) for name in names}
                for at, label in enumerate(dataset["runs"].values)
            }
            return {
                "Dataset": str(path),
                "criteria": list(map(str, dataset.data_vars)),
                "runs": runs,
            }
    except (OSError, ValueError, KeyError):
        return {}


def plain_text(found: Mapping[str, Any]) -> str:
    """As YAML, without what is empty."""
    import yaml

    kept = {k: v for k, v in found.items() if v not in (None, "", [], {})}
    return yaml.safe_dump(
        kept, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )
