"""Runs in this process: resuming, finished runs, damage, signals."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.experiments.training_iteration_stats import TrainingIterationStats
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import small_run_config


def folder(runs_dir: Path, name: str = "a", repetition: int = 0) -> RunFolder:
    return RunFolder(runs_dir / name / str(repetition))


def final_state(runs_dir: Path, iteration: int = 6) -> dict[str, torch.Tensor]:
    return folder(runs_dir).read_checkpoint(iteration)


def losses(runs_dir: Path) -> list[float]:
    return [s.loss for s in folder(runs_dir).read_history().training_stats.iteration_stats]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    runs_dir = tmp_path_factory.mktemp("whole")
    train(small_run_config("name=a"), runs_dir)
    return runs_dir


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, error: BaseException) -> None:
    """The step with this index raises."""
    real = Run.start_step

    def step(run: Run, batch: Any) -> TrainingIterationStats:
        if batch.iteration == steps:
            raise error
        return real(run, batch)

    monkeypatch.setattr(Run, "start_step", step)


def test_what_a_run_leaves_behind(whole: Path) -> None:
    run = folder(whole)
    files = sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file())
    # Only a checkout with changes that are not committed has this file.
    assert [name for name in files if not name.startswith("code-")] == [
        "checkpoints/00000004.safetensors",
        "checkpoints/00000006.safetensors",
        "config.yaml",
        "curves.png",
        "log-0001.bin",
        "picture.png",
        "regions.png",
        "training.csv",
        "validation.csv",
    ]
    history = run.read_history()
    assert history.is_done
    assert [s.iteration for s in history.scores] == [4, 6]
    assert history.training_stats.trained_until() == 6
    assert all(s.time > 0 for s in history.training_stats.iteration_stats)
    assert (run.path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("at", [1, 4, 5])
def test_an_interrupted_run_ends_equal(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    stop_after(monkeypatch, at, RuntimeError("killed"))
    with pytest.raises(RuntimeError, match="killed"):
        train(small_run_config("name=a"), tmp_path)
    assert folder(tmp_path).read_history().outcome["status"] == "failed"
    monkeypatch.undo()
    scores = train(small_run_config("name=a", "trainer.num_workers=0"), tmp_path)
    assert losses(tmp_path) == losses(whole)
    assert equal(final_state(tmp_path), final_state(whole))
    assert scores.scores == folder(whole).read_history().scores


def test_two_threads_end_equal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ("name=a", "trainer.num_threads=2", "architecture.num_fmaps=12")
    train(small_run_config(*more), tmp_path / "whole")
    stop_after(monkeypatch, 5, RuntimeError("killed"))
    with pytest.raises(RuntimeError, match="killed"):
        train(small_run_config(*more), tmp_path / "killed")
    monkeypatch.undo()
    train(small_run_config(*more), tmp_path / "killed")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert equal(final_state(tmp_path / "killed"), final_state(tmp_path / "whole"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, number: int
) -> None:
    real = Run.start_step

    def step(run: Run, batch: Any) -> TrainingIterationStats:
        if batch.iteration == 2:
            os.kill(os.getpid(), number)
        return real(run, batch)

    monkeypatch.setattr(Run, "start_step", step)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        train(small_run_config("name=a"), tmp_path)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before
    assert "saved at iteration 3; rerun the same command to resume" in capsys.readouterr().out
    assert folder(tmp_path).checkpoints() == [3]
    assert folder(tmp_path).read_history().outcome["status"] == "interrupted"
    monkeypatch.undo()
    train(small_run_config("name=a"), tmp_path)
    assert "resuming from iteration 3" in capsys.readouterr().out
    assert losses(tmp_path) == losses(whole)
    assert equal(final_state(tmp_path), final_state(whole))


def test_under_submitit_its_handler_acts_after_the_work_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Run.start_step
    saved_when_handed_on: list[list[int]] = []

    def requeue(number: int, frame: Any) -> None:
        saved_when_handed_on.append(folder(tmp_path).checkpoints())

    def step(run: Run, batch: Any) -> TrainingIterationStats:
        if batch.iteration == 2:
            assert signal.getsignal(signal.SIGTERM) is terminate  # submitit wants it for itself
            os.kill(os.getpid(), signal.SIGUSR2)
        return real(run, batch)

    monkeypatch.setattr(Run, "start_step", step)
    terminate = signal.getsignal(signal.SIGTERM)
    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(SystemExit):
            train(small_run_config("name=a"), tmp_path)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert saved_when_handed_on == [[3]]


def test_a_finished_run_says_so_and_returns_its_scores(whole: Path, capsys: Any) -> None:
    files = sorted((p, p.stat().st_mtime_ns) for p in whole.rglob("*") if p.is_file())
    scores = train(small_run_config("name=a"), whole)
    assert "is finished" in capsys.readouterr().out
    assert [s.iteration for s in scores.scores] == [4, 6]
    assert sorted((p, p.stat().st_mtime_ns) for p in whole.rglob("*") if p.is_file()) == files


def test_more_iterations_extend_a_finished_run(tmp_path: Path) -> None:
    train(small_run_config("name=a"), tmp_path)
    first = losses(tmp_path)
    longer = small_run_config(
        "name=a", "num_iterations=9", "trainer.schedule_iterations=6", "validation_interval=4"
    )
    scores = train(longer, tmp_path)
    assert [s.iteration for s in scores.scores] == [4, 6, 8, 9]
    assert losses(tmp_path)[:6] == first
    assert len(losses(tmp_path)) == 9
    with pytest.raises(InputError, match=r"give trainer.schedule_iterations=6"):
        train(small_run_config("name=a", "num_iterations=12"), tmp_path)


def test_fewer_iterations_than_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 5, RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        train(small_run_config("name=a"), tmp_path)
    shorter = small_run_config("name=a", "num_iterations=3", "trainer.schedule_iterations=6")
    with pytest.raises(InputError, match="trained until 4, beyond num_iterations=3"):
        train(shorter, tmp_path)


def test_a_checkpoint_cut_short_gives_way_to_the_one_before(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    stop_after(monkeypatch, 5, RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        train(small_run_config("name=a", "trainer.checkpoint_interval=2"), tmp_path)
    assert folder(tmp_path).checkpoints() == [2, 4]
    damaged = folder(tmp_path).checkpoints_dir / "00000004.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    monkeypatch.undo()
    train(small_run_config("name=a"), tmp_path)
    out = capsys.readouterr().out
    assert "skipping a checkpoint, using an earlier one" in out
    assert "resuming from iteration 2" in out
    assert losses(tmp_path) == losses(whole)
    assert equal(final_state(tmp_path), final_state(whole))
    assert folder(tmp_path).read_history().scores == folder(whole).read_history().scores


def test_no_whole_checkpoint_begins_anew_and_says_so(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    stop_after(monkeypatch, 5, RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        train(small_run_config("name=a"), tmp_path)
    for path in folder(tmp_path).checkpoints_dir.iterdir():
        path.write_bytes(b"")
    monkeypatch.undo()
    train(small_run_config("name=a"), tmp_path)
    assert "skipping a checkpoint" in capsys.readouterr().out
    assert equal(final_state(tmp_path), final_state(whole))


def test_a_start_begins_with_the_weights_of_another_run(whole: Path, tmp_path: Path) -> None:
    runs_dir = whole
    start = ("name=b", "start=run", "start.run=a/0", "start.iteration=6", "num_iterations=1")
    run = Run(small_run_config(*start))
    assert run.begin(folder(runs_dir, "b").read_weights_of).endswith("loaded 40 of 40 weights")
    theirs = final_state(runs_dir)
    assert all(
        torch.equal(v.cpu(), theirs[f"model.{k}"]) for k, v in run.model.state_dict().items()
    )

    train(small_run_config(*start), runs_dir)
    assert folder(runs_dir, "b").read_history().is_done
    with pytest.raises(InputError, match=r"no weight fits this run"):
        train(small_run_config(*start[1:], "name=c", "architecture.num_fmaps=5"), runs_dir)
    with pytest.raises(InputError, match=r"start.run=nobody/0: there is no such run"):
        train(small_run_config("name=d", "start=run", "start.run=nobody/0"), runs_dir)


def test_a_head_that_differs_stays_fresh(whole: Path) -> None:
    run = Run(
        small_run_config(
            "name=e",
            "start=run",
            "start.run=a/0",
            "start.iteration=6",
            "task.neighborhood=[[0,0,1],[2,0,0]]",
        )
    )
    fresh = {k: v.clone() for k, v in run.model.state_dict().items()}
    told = run.begin(folder(whole, "e").read_weights_of)
    assert told.endswith("channels of the head that stay newly initialised: affinity 2,0,0")
    key = "prediction_head.weight"
    head, theirs = run.model.state_dict()[key].cpu(), final_state(whole)[f"model.{key}"]
    assert torch.equal(head[0], theirs[2])
    assert torch.equal(head[1], fresh[key][1].cpu())
    key = "architecture.unet.down.0.0.weight"
    assert not torch.equal(run.model.state_dict()[key], fresh[key])


def test_a_saved_config_builds_the_same_run(whole: Path) -> None:
    from dacapo.config import decode

    assert decode(folder(whole).read_document()["config"]) == small_run_config("name=a")


def test_a_run_that_no_longer_improves_ends_early_and_stays_so(tmp_path: Path, capsys: Any) -> None:
    """Nothing is ever an improvement here, so it ends after the first and one more validation."""
    config = small_run_config(
        "name=a", "num_iterations=20", "validation_interval=2", "trainer.stop_patience=2",
        "trainer.min_delta=1000",
    )  # fmt: skip
    scores = train(config, tmp_path)
    assert [s.iteration for s in scores.scores] == [2, 4, 6]
    history = folder(tmp_path).read_history()
    assert history.trained_until == 6
    assert history.outcome["status"] == "done"
    assert "no improvement in 2 validations" in capsys.readouterr().out
    train(config, tmp_path)
    assert "is finished" in capsys.readouterr().out
    assert folder(tmp_path).read_history().trained_until == 6


def test_a_run_killed_before_it_notes_that_it_ended_early_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run_config(
        "name=a", "num_iterations=20", "validation_interval=2", "trainer.stop_patience=1",
        "trainer.min_delta=1000",
    )  # fmt: skip
    stop_after(monkeypatch, 4, AssertionError("one step too many"))
    monkeypatch.setattr("dacapo.training.session._draw", stop)
    with pytest.raises(RuntimeError, match="killed"):
        train(config, tmp_path)
    monkeypatch.setattr("dacapo.training.session._draw", lambda *_: None)
    train(config, tmp_path)
    assert folder(tmp_path).read_history().trained_until == 4


def stop(*_: Any) -> None:
    raise RuntimeError("killed")


def test_which_checkpoints_are_kept(tmp_path: Path) -> None:
    config = small_run_config(
        "name=a", "num_iterations=12", "validation_interval=6", "trainer.checkpoint_interval=1",
        "trainer.keep_latest=1", "trainer.keep_every=4", "trainer.keep_best=[voi_merge]",
    )  # fmt: skip
    scores = train(config, tmp_path)
    best = {scores.best(c) for c in ("voi", "voi_merge")}
    wanted = {4, 8, 12} | {b.iteration for b in best if b is not None}
    assert set(folder(tmp_path).checkpoints()) == wanted
    with pytest.raises(InputError, match=r"trainer.keep_best=dice: there is no such score"):
        Run(small_run_config("trainer.keep_best=[dice]"))


def test_a_batch_that_gives_no_number_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    real = Run.start_step

    def step(run: Run, batch: Any) -> TrainingIterationStats:
        if batch.iteration == 3:
            batch.raw[0, 0, 14, 14, 14] = float("nan")
        return real(run, batch)

    monkeypatch.setattr(Run, "start_step", step)
    with pytest.raises(InputError, match=r"in iteration 3: nan; .*prediction: .*non_finite"):
        train(small_run_config("name=a"), tmp_path)
    kept = load_file(folder(tmp_path).path / "non_finite.safetensors")
    assert kept.keys() == {"raw", "target", "weight", "prediction"}
    assert kept["raw"].isnan().sum() == 1
    assert folder(tmp_path).read_history().outcome["status"] == "failed"


def test_tables_go_on_where_the_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import csv

    stop_after(monkeypatch, 5, RuntimeError("killed"))
    with pytest.raises(RuntimeError, match="killed"):
        train(small_run_config("name=a"), tmp_path)
    monkeypatch.undo()
    scores = train(small_run_config("name=a"), tmp_path)
    with (folder(tmp_path).path / "training.csv").open() as file:
        steps = list(csv.DictReader(file))
    assert [int(s["iteration"]) for s in steps] == list(range(6))
    assert [float(s["loss"]) for s in steps] == pytest.approx(losses(tmp_path), rel=1e-5)
    assert all(float(s["gradient_norm"]) > 0 < float(s["learning_rate"]) for s in steps)
    with (folder(tmp_path).path / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["iteration"]) for r in rows] == [4, 4, 6, 6]
    best = scores.best("voi")
    assert best is not None
    assert min(float(r["voi"]) for r in rows) == pytest.approx(best.value, rel=1e-5)
