from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from dacapo.experiments.run import Run
from dacapo.runs import RunFolder
from dacapo.train import train
from dacapo.training.compiling import compile_network
from tests.conftest import small_run_config


@contextmanager
def traced(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> Iterator[None]:
    """Compiled without the code generator: the graph is traced, and run as it is."""
    real = torch.nn.Module.compile

    def compile_(module: torch.nn.Module, **_: Any) -> None:
        def fail(graph: Any, inputs: Any) -> Any:
            assert error is not None
            raise error

        real(module, backend="eager" if error is None else fail)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", compile_)
        yield


def folder(runs_dir: Path) -> RunFolder:
    return RunFolder(runs_dir / "a" / "0")


def config(*more: str) -> Any:
    return small_run_config("name=a", "trainer.device=cpu", *more)


def test_a_cpu_does_not_compile_by_itself(tmp_path: Path) -> None:
    assert not compile_network(Run(config("num_iterations=9000")), folder(tmp_path))


def test_what_was_decided_stays_and_is_said_to_override_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with traced(monkeypatch):
        train(config("trainer.compile=true"), tmp_path)
    assert "the network was compiled in 0:0" in capsys.readouterr().out
    assert folder(tmp_path).read_history().document["compiled"] is True
    more = "num_iterations=8"
    with traced(monkeypatch):
        assert compile_network(Run(config("trainer.compile=false", more)), folder(tmp_path))
        assert "trainer.compile=false is ignored: until now" in capsys.readouterr().out
        assert compile_network(Run(config(more)), folder(tmp_path))
        assert "ignored" not in capsys.readouterr().out


def test_a_process_that_could_not_build_the_run_does_not_forget_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with traced(monkeypatch):
        train(config("trainer.compile=true"), tmp_path)
    document = folder(tmp_path).read_history().document
    with folder(tmp_path).writing({k: v for k, v in document.items() if k != "compiled"}):
        pass
    assert folder(tmp_path).read_history().document["compiled"] is True


def test_a_compiler_that_fails_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(config("trainer.compile=true"))
    before = {k: v.clone() for k, v in run.train_state.state().items()}
    with traced(monkeypatch, RuntimeError("no such compiler")):
        assert not compile_network(run, folder(tmp_path))
    out = capsys.readouterr().out
    assert "the network is not compiled: " in out
    assert "no such compiler" in out
    assert "Traceback" not in out
    assert all(torch.equal(v, before[k]) for k, v in run.train_state.state().items())
    assert run.train_step(next(run.batches(0))).loss > 0
