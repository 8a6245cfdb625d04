from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.score_table import ScoreHeader
from dacapo.experiments.starts.start import Source
from dacapo.runs import RunFolder, find_run_folders
from dacapo.runs.log import log_files
from tests.conftest import run_document

HEADER = ScoreHeader(
    ["a"], [{"label": "bias=0.5", "bias": 0.5}], [{"name": "voi", "higher_is_better": 0}], "voi"
)
STATE = {"model.w": torch.ones(2), "optimizer.0.step": torch.tensor(1.0)}


def document(**identity: Any) -> dict[str, Any]:
    return {**run_document("n"), "identity": {"trainer": identity}}


def folder(tmp_path: Path, repetition: int = 0) -> RunFolder:
    return RunFolder(tmp_path / "n" / str(repetition))


def score(iteration: int, value: float = 1.0) -> ValidationIterationScores:
    return ValidationIterationScores(iteration, [[[value]]])


def step(iteration: int, loss: float = 0.5) -> TrainingIterationStats:
    return TrainingIterationStats(iteration, loss, 0.1, 0.01)


def test_history_round_trip(tmp_path: Path) -> None:
    with folder(tmp_path).writing(document()) as writer:
        writer.begin(0, HEADER)
        writer.add_step(step(0))
        writer.add_step(step(1))
        writer.add_scores(score(2))
        writer.finish("done", num_parameters=5)
    history = folder(tmp_path).read_history()
    assert history.header == HEADER
    assert history.training_stats.iteration_stats == [step(0), step(1)]
    assert history.scores == [score(2)]
    assert history.is_done
    assert history.outcome["num_parameters"] == 5
    assert folder(tmp_path).read_document() == document()


def test_going_on_voids_what_lies_beyond(tmp_path: Path) -> None:
    with folder(tmp_path).writing(document()) as writer:
        writer.begin(0, HEADER)
        for i in range(5):
            writer.add_step(step(i))
        writer.add_scores(score(2))
        writer.add_scores(score(4))
    with folder(tmp_path).writing(document()) as writer:
        writer.begin(3, HEADER)
        writer.add_step(step(3, loss=9.0))
    history = folder(tmp_path).read_history()
    assert [s.loss for s in history.training_stats.iteration_stats] == [0.5, 0.5, 0.5, 9.0]
    assert history.scores == [score(2)]
    assert history.outcome == {"status": "interrupted"}


def test_checkpoints_kept_are_the_latest_two_and_the_best(tmp_path: Path) -> None:
    run = folder(tmp_path)
    with run.writing(document()) as writer:
        for i in (1, 2, 3, 4, 5):
            writer.add_checkpoint(i, STATE, keep={2})
    assert run.checkpoints() == [2, 4, 5]
    assert torch.equal(run.read_checkpoint(5)["model.w"], STATE["model.w"])


def test_how_a_writer_ended(tmp_path: Path) -> None:
    run = folder(tmp_path)
    with pytest.raises(RuntimeError), run.writing(document()):
        raise RuntimeError("broken")
    outcome = run.read_history().outcome
    assert outcome["status"] == "failed"
    assert outcome["error"] == "RuntimeError: broken"
    assert "Traceback" in outcome["traceback"]
    with pytest.raises(SystemExit), run.writing(document()):
        raise SystemExit(143)
    assert run.read_history().outcome["status"] == "interrupted"


def test_another_config_under_one_name(tmp_path: Path) -> None:
    for _ in range(2):
        with folder(tmp_path).writing(document(rate=1)) as writer:
            writer.begin(0, HEADER)
            writer.add_step(step(0))
    for repetition in (0, 1):
        other = folder(tmp_path, repetition)
        with (
            pytest.raises(InputError, match=r"n/0 holds .* trainer.rate is 1 there and 2 here"),
            other.writing(document(rate=2)),
        ):
            pass
    assert not folder(tmp_path, 1).path.exists()


def test_a_longer_schedule_says_how_to_train_further(tmp_path: Path) -> None:
    with folder(tmp_path).writing(document(schedule_iterations=10)) as writer:
        writer.begin(0, HEADER)
        writer.add_step(step(0))
    with (
        pytest.raises(InputError, match=r"give trainer.schedule_iterations=10"),
        folder(tmp_path).writing(document(schedule_iterations=20)),
    ):
        pass


def test_a_run_without_a_step_gives_way_to_another_config(tmp_path: Path) -> None:
    with pytest.raises(InputError), folder(tmp_path).writing(document(rate=1)):
        raise InputError("no such file")
    assert folder(tmp_path).read_history().outcome["status"] == "refused"
    with folder(tmp_path).writing(document(rate=2)):
        pass
    assert folder(tmp_path).read_document() == document(rate=2)


def test_steps_of_a_missing_log_are_nan_and_reported(tmp_path: Path) -> None:
    for steps in ((0, 1), (4, 5)):  # the log between them is missing
        with folder(tmp_path).writing(document()) as writer:
            writer.begin(steps[0], HEADER)
            for i in steps:
                writer.add_step(step(i))
    history = folder(tmp_path).read_history()
    assert np.isnan(history.steps[:, 0]).tolist() == [False, False, True, True, False, False]
    assert "log-0002.bin: steps 2 to 4 are missing" in str(history.damage)


def test_going_on_removes_later_checkpoints(tmp_path: Path) -> None:
    with folder(tmp_path).writing(document()) as writer:
        for i in (1, 2, 3):
            writer.add_checkpoint(i, STATE, keep={1})
        writer.begin(2, HEADER)
    assert folder(tmp_path).checkpoints() == [1, 2]


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    run = folder(tmp_path)
    with run.writing(document()) as writer:
        writer.add_checkpoint(1, STATE, set())
    (run.checkpoints_dir / ".00000002.safetensors.99.tmp").write_bytes(b"half")
    with run.writing(document()):
        pass
    assert [p.name for p in run.checkpoints_dir.iterdir()] == ["00000001.safetensors"]


def test_a_read_only_runs_folder(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")  # root may write anywhere, but nobody makes a folder in a file
    with (
        pytest.raises(InputError, match="runs_dir: cannot write"),
        RunFolder(blocked / "n" / "0").writing(document()),
    ):
        pass


def test_finding_runs(tmp_path: Path) -> None:
    for repetition in (10, 2):
        with folder(tmp_path, repetition).writing(document()):
            pass
    (tmp_path / ".hydra").mkdir()
    assert [f.path.name for f in find_run_folders(tmp_path)] == ["2", "10"]


def test_weights_of_another_run(tmp_path: Path) -> None:
    other = RunFolder(tmp_path / "other" / "1")
    with other.writing(document()) as writer:
        writer.begin(0, HEADER)
        for i, value in ((2, 3.0), (4, 1.0), (6, 2.0)):
            writer.add_checkpoint(i, {"model.w": torch.full((1,), float(i))}, keep={4})
            writer.add_scores(score(i, value))
    ours = folder(tmp_path)
    assert ours.read_weights_of(Source("other/1")).tensors["w"].item() == 4
    assert ours.read_weights_of(Source("other/1", 6)).tensors["w"].item() == 6
    with pytest.raises(InputError, match=r"start.iteration=3: .* it has (2, )?4, 6"):
        ours.read_weights_of(Source("other/1", 3))


def scored_by(biases: list[float], **task: Any) -> ScoreHeader:
    """A header of another grid or other options."""
    parameters = [{"label": f"bias={b}", "bias": b} for b in biases]
    processor = {"_type_": "P", "bias": biases, "stride": 1}
    settings = {"task": {"post_processor": processor, **task}, "volumes": {"a": "1"}}
    return ScoreHeader(["a"], parameters, HEADER.criteria, "voi", settings)


def trained(tmp_path: Path, header: ScoreHeader, *scores: ValidationIterationScores) -> RunFolder:
    run = folder(tmp_path)
    with run.writing(document()) as writer:
        writer.begin(0, header)
        for i in range(4):
            writer.add_step(step(i))
        for each in scores:
            writer.add_scores(each)
        writer.finish("done")
    return run


def rescored(run: RunFolder, header: ScoreHeader, iteration: int, *values: float) -> None:
    with run.scoring(header) as writer:
        rows = [[[value] for value in values]]
        writer.add_scores(ValidationIterationScores(iteration, rows))


def test_scores_of_more_parameters_join_those_of_training(tmp_path: Path) -> None:
    run = trained(tmp_path, scored_by([0.5]), score(2, 3.0), score(4, 2.0))
    rescored(run, scored_by([0.3, 0.5]), 2, 1.0, 5.0)
    history = run.read_history()
    table = history.table()
    assert table is not None
    assert [p["label"] for p in table.header.parameters] == ["bias=0.5", "bias=0.3"]
    assert table.iterations == [2, 4]
    # The later score of a setting replaces the earlier one; 4 was not scored with 0.3.
    assert np.array_equal(table.values[:, 0, :, 0], [[5, 1], [2, np.nan]], equal_nan=True)
    best = table.best()
    assert best is not None
    assert (best.iteration, best.value, best.label) == (2, 1.0, "bias=0.3")
    assert history.header_of(best) == scored_by([0.3, 0.5])
    assert history.num_candidates == 4
    assert history.is_done


@pytest.mark.parametrize("change", [{"ignore_smaller": 9}, {"post_processor": {"stride": 2}}])
def test_scores_of_another_kind_stand_apart(tmp_path: Path, change: dict[str, Any]) -> None:
    training, other = scored_by([0.5]), scored_by([0.5], **change)
    run = trained(tmp_path, training, score(2, 3.0), score(4, 2.0))
    rescored(run, other, 4, 7.0)
    history = run.read_history()
    assert history.header == other
    assert history.scores == [score(4, 7.0)]
    assert history.scores_like(training) == [score(2, 3.0), score(4, 2.0)]
    with run.scoring(training):  # to return to it, no score is needed
        pass
    assert run.read_history().scores == [score(2, 3.0), score(4, 2.0)]


def test_scoring_leaves_how_training_ended(tmp_path: Path) -> None:
    run = folder(tmp_path)

    def fail() -> None:
        with run.writing(document()) as writer:
            writer.begin(0, scored_by([0.5]))
            writer.add_step(step(0))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()
    before = run.read_history()
    rescored(run, scored_by([0.3]), 1, 1.0)
    other = scored_by([0.3], ignore_smaller=9)
    with pytest.raises(KeyboardInterrupt), run.scoring(other):
        raise KeyboardInterrupt
    assert run.read_history().header == scored_by([0.3])
    history = run.read_history()
    assert history.outcomes == before.outcomes
    assert history.outcome["error"] == "RuntimeError: boom"
    assert history.document == before.document
    assert (run.path / "error.txt").exists()


def test_a_resumed_run_has_its_own_scores_only(tmp_path: Path) -> None:
    """What validation decides in training must not change because somebody scored the run."""
    header = scored_by([0.5])
    run = trained(tmp_path, header, score(2, 3.0))
    rescored(run, scored_by([0.1]), 2, 0.0)
    past = run.read_history().past(header)
    assert past.scores == [score(2, 3.0)]
    with run.writing(document()) as writer:
        writer.begin(2, header, past)
        writer.add_scores(score(4, 1.0))
    table = run.read_history().table()
    assert table is not None
    assert np.array_equal(table.values[:, 0, :, 0], [[3, 0], [1, np.nan]], equal_nan=True) or [
        p["label"] for p in table.header.parameters
    ] == ["bias=0.1", "bias=0.5"]


def test_a_scoring_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    """Cut off after each of its records, as by a kill; what it has scored is kept."""
    training, other = scored_by([0.5]), scored_by([0.5], ignore_smaller=9)
    run = trained(tmp_path, training, score(2, 3.0), score(4, 2.0))
    with run.scoring(other) as writer:
        writer.add_scores(score(2, 9.0))
        writer.add_scores(score(4, 8.0))
    path = log_files(run.path)[-1]
    whole = path.read_bytes()
    assert run.read_history().scores == [score(2, 9.0), score(4, 8.0)]
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        history = run.read_history()
        assert history.scores == [score(2, 3.0), score(4, 2.0)]
        assert history.header == training
        assert history.is_done
    path.write_bytes(whole[:-1])
    assert run.read_history().scores_like(other) == [score(2, 9.0), score(4, 8.0)]


def test_training_does_not_go_by_scores_that_were_added(tmp_path: Path) -> None:
    header = scored_by([0.5])
    run = trained(tmp_path, header, score(4, 2.0))
    rescored(run, header, 2, 1.0)
    history = run.read_history()
    assert history.scores == [score(2, 1.0), score(4, 2.0)]
    assert history.past(header).scores == [score(4, 2.0)]
    assert history.as_trained().iterations == [4]
    best = history.best()
    assert best is not None
    assert best.iteration == 2
