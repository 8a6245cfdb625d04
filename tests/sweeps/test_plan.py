from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dacapo.experiments import TrainingIterationStats
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import RunFolder, Submission, failed_alike, launcher_beat, read_state
from dacapo.runs.owner import Owner
from dacapo.sweeps.plan import RunRequest, plan_run
from tests.conftest import small_run_config

CONFIG = small_run_config("name=a")
DOCUMENT = RunRequest().document(CONFIG)
HEADER = ScoreHeader(["a"], [{"label": "x"}], [{"name": "voi", "higher_is_better": 0}], "voi")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "a" / "0")


def end(folder: RunFolder, status: str, steps: int = 0, **notes: Any) -> None:
    """A writer that ends so."""
    with folder.writing(DOCUMENT) as writer:
        writer.begin(0, HEADER)
        for step in range(steps):
            writer.add_step(TrainingIterationStats(step, 1.0, 0.1))
        writer.finish(status, **notes)


def fail(folder: RunFolder, error: str) -> None:
    with pytest.raises(RuntimeError), folder.writing(DOCUMENT):
        raise RuntimeError(error)


def todo(folder: RunFolder, **asked: Any) -> str:
    return plan_run(folder, CONFIG, RunRequest(**asked)).action


def submit(folder: RunFolder, job: str = "", **changes: Any) -> Submission:
    submission = Submission(folder.num_writers(), job, "job.err", **changes)
    folder.submit(DOCUMENT, submission)
    return submission


def queue(monkeypatch: pytest.MonkeyPatch, answer: bool | None) -> None:
    monkeypatch.setattr("dacapo.runs.state.is_queued", lambda job: answer)


def test_what_each_end_asks_for(folder: RunFolder) -> None:
    assert todo(folder) == "train"
    end(folder, "interrupted", 3)
    assert todo(folder) == "train"
    end(folder, "done", 3)  # of 6 iterations
    assert todo(folder) == "train"
    end(folder, "done", 6)
    assert todo(folder) == "done"
    end(folder, "stopped", 3, why="others are better")
    assert todo(folder) == "train"
    plan = plan_run(folder, CONFIG, RunRequest(halving=HalvingConfig()))
    assert plan.action == "stopped"
    assert "others are better" in plan.text


def test_a_run_that_works_is_left_alone(folder: RunFolder) -> None:
    with folder.writing(DOCUMENT):
        assert todo(folder) == "running"


def test_the_same_failure_twice_is_left_until_it_is_asked_for(folder: RunFolder) -> None:
    fail(folder, "broken at 0x7f12")
    assert read_state(folder).name == "failed"
    assert (folder.path / "error.txt").read_text().endswith("RuntimeError: broken at 0x7f12\n")
    assert todo(folder) == "train"
    fail(folder, "broken at 0x8a00")  # the same but for an address
    assert failed_alike(folder.read_history()) == "RuntimeError: broken at 0x8a00"
    assert todo(folder) == "failed"
    assert todo(folder, retry=True) == "train"
    fail(folder, "something else")
    assert todo(folder) == "train"
    end(folder, "done", 6)
    assert not (folder.path / "error.txt").exists()


def test_a_time_limit_between_two_failures_does_not_make_them_two_errors(folder: RunFolder) -> None:
    fail(folder, "broken")
    end(folder, "preempted", 2)
    fail(folder, "broken")
    assert todo(folder) == "failed"


def test_a_failure_after_a_kill_is_tried_again(folder: RunFolder) -> None:
    fail(folder, "broken")
    end(folder, "interrupted", 2)
    fail(folder, "broken")
    assert todo(folder) == "train"


def test_a_run_that_waits_in_a_queue(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(folder, "12_3")
    for answer, name, plan in ((True, "waiting", "waiting"), (None, "waiting", "waiting"),
                                  (False, "killed", "train")):  # fmt: skip
        queue(monkeypatch, answer)
        state = read_state(folder)
        assert (state.name, todo(folder)) == (name, plan)
    assert state.error == "job 12_3 has ended before it started the run"
    assert state.log == "job.err"
    queue(monkeypatch, True)
    assert read_state(folder).who == "job 12_3"


def test_once_it_has_begun_the_writer_tells(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(monkeypatch, True)
    submit(folder, "12_3")
    with folder.writing(DOCUMENT):
        assert read_state(folder).name == "running"
    end(folder, "done", 6)
    assert read_state(folder).name == "done"


def test_a_note_that_comes_after_the_job_has_ended(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler was faster than the launcher."""
    queue(monkeypatch, False)
    before = folder.num_writers()
    end(folder, "done", 6)
    folder.submit(DOCUMENT, Submission(before, "12_3"))
    assert read_state(folder).name == "done"


def test_preempted_and_queued_again(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = submit(folder, "12_3")
    end(folder, "preempted", 2)
    queue(monkeypatch, True)
    assert (read_state(folder).name, todo(folder)) == ("preempted", "waiting")
    queue(monkeypatch, False)
    assert (read_state(folder).name, todo(folder)) == ("killed", "train")
    assert read_state(folder).error == "job 12_3 was preempted and will not be restarted"
    folder.mark_lost(submission, "the cluster has forgotten it")
    assert read_state(folder).name == "killed"
    assert read_state(folder).error == "the cluster has forgotten it"


@pytest.mark.parametrize(
    ("answer", "name"), [(True, "waiting"), (None, "killed"), (False, "killed")]
)
def test_a_job_that_slurm_starts_again_after_its_node_has_failed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, answer: bool | None, name: str
) -> None:
    submit(folder, "12_3")
    with folder.writing(DOCUMENT) as writer:
        monkeypatch.setattr(writer, "finish", lambda status: None)  # no last word
    monkeypatch.setattr(Owner, "is_alive", lambda self: False)
    queue(monkeypatch, answer)
    assert read_state(folder).name == name


def test_a_control_that_was_stopped_goes_on(folder: RunFolder) -> None:
    end(folder, "stopped", 3, why="others are better")
    assert todo(folder, halving=HalvingConfig()) == "stopped"
    assert todo(folder, halving=HalvingConfig(never_stop=["a"])) == "train"


def test_a_launcher_that_is_dead_starts_nothing(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(folder)
    assert (read_state(folder).name, todo(folder)) == ("waiting", "waiting")
    monkeypatch.setattr(Owner, "is_alive", lambda self: False)
    assert (read_state(folder).name, todo(folder)) == ("killed", "train")


def test_a_launcher_before_a_reboot_starts_nothing(folder: RunFolder, tmp_path: Path) -> None:
    """Its boot differs, and its sign of life has not changed for long."""
    with launcher_beat(folder.path.parent.parent) as beat:
        alive = replace(Owner.current(), host="another node", boot="its own")
        folder.submit(DOCUMENT, Submission(0, beat=beat, launcher=alive))
        assert (read_state(folder).name, todo(folder)) == ("waiting", "waiting")
    assert (read_state(folder).name, todo(folder)) == ("killed", "train")
    assert read_state(folder).error.startswith("the launcher, process ")
    with launcher_beat(folder.path.parent.parent) as beat:
        rebooted = replace(Owner.current(), boot="the one before")
        folder.submit(DOCUMENT, Submission(0, beat=beat, launcher=rebooted))
        assert (read_state(folder).name, todo(folder)) == ("killed", "train")


def test_an_owner_elsewhere_by_the_age_of_its_log(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder.writing(DOCUMENT):
        monkeypatch.setattr("dacapo.runs.owner._place", lambda: ("another", "another", ""))
        assert read_state(folder).name == "running"
        now = time.time()
        monkeypatch.setattr("dacapo.runs.state.time.time", lambda: now + 1000)
        assert read_state(folder).name == "killed"
        monkeypatch.setattr("dacapo.runs.state.time.time", lambda: now - 3600)
        assert read_state(folder).name == "killed"  # its clock is an hour ahead


def test_another_run_of_a_job_that_was_resubmitted_waits(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(folder, "broken")
    queue(monkeypatch, True)
    submit(folder, "12_3")
    assert read_state(folder).name == "waiting"
    assert read_state(folder).error == ""
