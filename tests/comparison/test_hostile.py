"""Folders that somebody made to mislead or to break whoever looks at all runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dacapo.comparison.progress import read_progress
from dacapo.comparison.tables import CompareOptions, compare
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import RunFolder, Submission
from dacapo.runs.log import Kind, Record, log_files
from dacapo.runs.owner import Owner
from dacapo.sweeps.asha import reason_to_stop
from tests.conftest import run_document, small_run_config, write_run

VOI = {"name": "voi", "higher_is_better": 0}
STEP = np.ones((1, 3)).tobytes()
Act = Callable[[RunFolder], object]


def add(kind: int, iteration: int, payload: bytes, schema: int = 0) -> Act:
    def act(folder: RunFolder) -> None:
        with log_files(folder.path)[0].open("ab") as file:
            file.write(Record(kind, schema, iteration, payload).frame())

    return act


def header(iteration: int = 20, **changes: Any) -> Act:
    """A header with valid scores."""
    plain = {
        "datasets": ["a"], "parameters": [{"label": "x"}], "criteria": [VOI], "selected_by": "voi",
        **changes,
    }  # fmt: skip
    payload = json.dumps(plain, sort_keys=True).encode()
    number = len(plain["datasets"]) * len(plain["parameters"]) * len(plain["criteria"])

    def act(folder: RunFolder) -> None:
        add(Kind.header, 0, payload)(folder)
        try:
            schema = ScoreHeader.decode(payload).schema
        except ValueError:
            schema = 0
        add(Kind.scores, iteration, np.full(number, 2.0).tobytes(), schema)(folder)

    return act


def document(**changes: Any) -> Act:
    plain = run_document("bad", 10)
    config = {**plain["config"], **changes.pop("config", {})}
    return add(Kind.document, 0, json.dumps({**plain, "config": config, **changes}).encode())


def outcome(**values: Any) -> Act:
    return add(Kind.outcome, 0, json.dumps({"status": "done", **values}).encode())


def submission(**changes: Any) -> Act:
    plain = {**json.loads(Submission(5).encode()), **changes}
    return lambda folder: (folder.path / "job.json").write_text(json.dumps(plain))


def elsewhere(**changes: Any) -> dict[str, Any]:
    return {**Owner.current().encode(), "host": "other", "boot": "x", **changes}


def link(name: str, target: str) -> Act:
    return lambda folder: (folder.path / name).symlink_to(target)


def criterion(**values: Any) -> Act:
    return header(criteria=[VOI, {"name": "z", "higher_is_better": 0, **values}])


def yaml(text: str) -> Act:
    def act(folder: RunFolder) -> None:
        log_files(folder.path)[0].unlink()
        (folder.path / "config.yaml").write_text(text)

    return act


def sparse(folder: RunFolder) -> None:
    with (folder.path / "log-0002.bin").open("wb") as file:
        file.truncate(20 * 2**30)


KEYS = [
    "status", "runs", "loss", "voi", "name", "iterations", "datasets", "parameters", "error", "",
    "a b", "a\nb", "task", "score", "run", "run_number", "x", "label", "1", ".", "..", "\ud800",
]  # fmt: skip
HOSTILE: dict[str, Act] = {
    "steps at 9 million": add(Kind.step, 9_000_000, STEP),
    "steps at 2^62": add(Kind.step, 2**62, STEP),
    "steps at -5": add(Kind.step, -5, STEP),
    "many gaps": lambda f: [add(Kind.step, 10 + i * 9_999_999, STEP)(f) for i in range(1, 40)],
    "begin at -3": add(Kind.begin, -3, b""),
    "begin at 2^62": add(Kind.begin, 2**62, b""),
    "scores at -7": header(-7),
    "scores at 2^62": header(2**62),
    "no label": header(parameters=[{"x": 1}]),
    "no parameters": header(parameters=[]),
    "no datasets": header(datasets=[]),
    "datasets that are text": header(datasets="ab"),
    "a dataset twice": header(datasets=["a", "a"]),
    "a setting twice": header(parameters=[{"label": "x", "p": 1}, {"label": "x", "p": 2}]),
    "a dataset of control characters": header(datasets=["a\0\x1b[2J\ud800"]),
    "a direction that is text": header(criteria=[{"name": "voi", "higher_is_better": "no"}]),
    "a direction that differs": header(criteria=[{"name": "voi", "higher_is_better": 1}]),
    "no direction": header(criteria=[{"name": "voi"}]),
    "an attribute of a newer version": header(criteria=[{**VOI, "symbol": "V"}]),
    "an attribute that is nested": criterion(q={"a": [1]}),
    "an attribute that is null": criterion(lower=None),
    "a parameter that is a list": header(parameters=[{"label": "y", "p": [1, 2]}]),
    "a parameter that is huge": header(parameters=[{"label": "y", "p": 10**30}]),
    **{f"a criterion {n!r}": criterion(name=n) for n in (*KEYS, "a/b", "a\0b")},
    **{f"a parameter {n!r}": header(parameters=[{"label": "y", n: 1}]) for n in KEYS},
    **{f"an override {n!r}": document(overrides=[f"{n}=FAKE"]) for n in KEYS},
    "overrides that become one": document(overrides=["a/b=1", "a.b=2", "+a.b=3"]),
    "choices that are lists": document(choices={"task": ["x"]}),
    "a huge repetition": document(config={"repetition": 10**30}),
    "huge iterations": document(config={"num_iterations": 10**400}),
    "negative iterations": lambda f: [
        document(config={"num_iterations": -20})(f), outcome(status="stopped")(f)
    ],
    "no iterations": lambda f: [
        document(config={"num_iterations": 0})(f), outcome(status="stopped")(f)
    ],
    "a huge cost": add(Kind.outcome, 0, b'{"status":"done","num_parameters":' + b"9" * 400 + b"}"),
    "a huge number": add(Kind.outcome, 0, b'{"status":"done","x":' + b"9" * 5000 + b"}"),
    "a status of its own": outcome(status="exploded"),
    "a status of surrogates": outcome(status="\ud800"),
    "a huge pid": add(Kind.owner, 0, json.dumps(elsewhere(pid=10**30)).encode()),
    "a launcher's huge pid": submission(launcher=elsewhere(pid=10**30)),
    "a beat of nothing": submission(launcher=elsewhere(), beat="a\0"),
    "a beat of another folder": submission(launcher=elsewhere(), beat="/../../etc/passwd"),
    "a job that is an option": submission(job="--help"),
    "a link to itself": link("log-0002.bin", "log-0002.bin"),
    "a link to nothing": link("log-0002.bin", "nowhere"),
    "a link to zeros": link("log-0002.bin", "/dev/zero"),
    "a link to memory": link("log-0002.bin", "/proc/self/mem"),
    "a link to the kernel": link("log-0002.bin", "/proc/kmsg"),
    "a log that is a folder": lambda f: (f.path / "log-0002.bin").mkdir(),
    "a log of 20 GiB": sparse,
    "a log with another number of digits": lambda f: (f.path / "log-1.bin").write_bytes(b""),
    "a yaml bomb": yaml("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )),
    "a yaml that nests": yaml("[" * 100_000),
    "a yaml that holds itself": yaml(
        "config: &a {name: bad, repetition: 0, num_iterations: 1, x: *a}\nidentity: *a\n"
        "choices: {}\noverrides: []\n"
    ),
    "a key that is a dict": yaml("? {a: [1]}\n: 2\n"),
    "a date that is none": yaml("a: 2001-99-99\n"),
    "a folder with a line break": lambda f: shutil.copytree(f.path, f.path.parents[1] / "x\ny/0"),
    "a folder that is a link to itself": lambda f: os.symlink("1", f.path.with_name("1")),
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs_dir = tmp_path_factory.mktemp("hostile") / "runs"
    for name in ("a", "bad", "c"):
        write_run(runs_dir, name, 10, "done")
    return runs_dir


@pytest.mark.parametrize("name", HOSTILE)
def test_all_other_runs_are_shown_compared_and_halved(
    template: Path, tmp_path: Path, name: str
) -> None:
    runs_dir = tmp_path / "runs"
    shutil.copytree(template, runs_dir)
    HOSTILE[name](RunFolder(runs_dir / "bad" / "0"))
    for _ in range(2):  # the second time from the cache
        shown = {p.run: p.state for p in read_progress(runs_dir)}
        assert (shown["a/0"], shown["c/0"]) == ("done", "done")
    compare(runs_dir)
    with xr.open_dataset(runs_dir / "comparison.nc", engine="h5netcdf") as dataset:
        good = dataset.sel(runs=["a/0", "c/0"])
        assert (
            good.voi.sel(iterations=10, datasets="a", parameters="x").values.tolist() == [1.5] * 2
        )
        assert good.status.values.tolist() == ["done", "done"]
        assert good.name.values.tolist() == ["a", "c"]
        assert "FAKE" not in dataset["runs"].values.tolist()
    config = small_run_config("num_iterations=900", "validation_interval=100", "name=a")
    halving = HalvingConfig(factor=2, min_iterations=10)
    reason_to_stop(halving, config, [], RunFolder(runs_dir / "a" / "0"), runs_dir)


def test_what_vanishes_before_its_scores_are_read(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dacapo.comparison import tables

    runs_dir = tmp_path / "runs"
    shutil.copytree(template, runs_dir)
    real = tables.collect
    monkeypatch.setattr(
        tables, "collect", lambda runs: (shutil.rmtree(runs_dir / "bad"), real(runs))[1]
    )
    compare(runs_dir)
    assert "bad/0: its scores are left out" in capsys.readouterr().err
    with xr.open_dataset(runs_dir / "comparison.nc", engine="h5netcdf") as dataset:
        assert int(dataset.voi.notnull().sum()) == 2


@pytest.mark.parametrize("kind", ["pipe", "folder", "broken zarr"])
def test_odd_things_where_the_dataset_should_be(template: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("comparison.zarr" if kind == "broken zarr" else "comparison.nc")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "x": [}')
    with pytest.raises(ValueError, match="is not a comparison that this command wrote"):
        compare(template, CompareOptions(path))
    assert path.exists()
