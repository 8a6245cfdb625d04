from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dacapo.comparison.progress import read_progress, summary
from dacapo.errors import InputError
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.runs import RunFolder
from dacapo.status import StatusConfig, main
from tests.conftest import HEADER, run_document, write_run


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["status", *arguments])
    main()


def test_how_far_runs_are(tmp_path: Path) -> None:
    write_run(tmp_path, "done", 10, "done")
    write_run(tmp_path, "broken", 0, "failed", error="no luck", traceback="")
    folder = RunFolder(tmp_path / "live" / "0")
    with folder.writing(run_document("live", 10)) as writer:
        writer.begin(0, HEADER)
        for step in range(4):
            writer.add_step(TrainingIterationStats(step, 1.0, 0.5))
        writer.add_scores(ValidationIterationScores(4, [[[2.5]]]))
        broken, done, live = read_progress(tmp_path)
    assert (done.run, done.state, done.iteration, done.best) == ("done/0", "done", 10, 1.5)
    assert done.loss == 5.5
    assert math.isnan(done.seconds_left)
    assert (live.state, live.iteration, live.num_iterations, live.best) == ("running", 4, 10, 2.5)
    assert live.iterations_per_second == 2
    assert live.seconds_left == 3
    assert "process " in live.who
    assert (broken.state, broken.error) == ("failed", "no luck")
    assert math.isnan(broken.best)
    assert math.isnan(broken.loss)
    assert summary([broken, done, live]) == "3 runs: 1 running, 1 done, 1 failed"


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    write_run(tmp_path, "one", 10, "done")
    write_run(tmp_path, "two", 3, "failed", error="no luck", traceback="")
    command(monkeypatch, f"runs_dir={tmp_path}")
    out = capsys.readouterr().out
    assert "2 runs: 1 done, 1 failed" in out
    assert "10/10" in out
    assert "voi 1.500" in out
    assert "failed: two/0: no luck" in out


def test_json_for_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    write_run(tmp_path, "one", 10, "done")
    write_run(tmp_path, "two", 0, "failed", error="no luck", traceback="")
    command(monkeypatch, f"runs_dir={tmp_path}", "json=true")
    one, two = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (one["run"], one["state"], one["best"]) == ("one/0", "done", 1.5)
    assert two["best"] is None  # JSON has no NaN


def test_watching_ends_when_nothing_is_left_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = RunFolder(tmp_path / "live" / "0")
    with folder.writing(run_document("live", 10)) as writer:
        monkeypatch.setattr("dacapo.status.time.sleep", lambda s: writer.finish("done"))
        command(monkeypatch, f"runs_dir={tmp_path}", "watch=true")
    out = capsys.readouterr().out
    assert out.index("1 run: 1 running") < out.index("1 run: 1 done")


def test_nothing_there_and_values_that_make_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with pytest.raises(InputError, match="the folder holds no runs"):
        read_progress(tmp_path)
    for argument in (f"runs_dir={tmp_path}", "interval=0", "watch=maybe"):
        with pytest.raises(SystemExit):
            command(monkeypatch, argument)
    assert "error: " in capsys.readouterr().err
    assert StatusConfig().runs_dir == "runs"
