"""Jobs as text, as a launcher sends them to other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dacapo import __version__
from dacapo.errors import InputError
from dacapo.experiments.halving_config import HalvingConfig
from dacapo.runs import RunFolder
from dacapo.sweeps.job import job_text, run_text
from dacapo.sweeps.plan import RunRequest
from tests.conftest import SMALL_AFFINITIES, small_run_config
from tests.slow_trainer import write_script

ROOT = Path(__file__).parents[2]


def test_a_run_from_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_run_config("name=a", "num_iterations=4")
    request = RunRequest({"task": "affinities"}, ["name=a"], True, HalvingConfig(factor=3))
    text = job_text(config, tmp_path, request, 3, {"DACAPO_TRIED": "1"})
    monkeypatch.setenv("DACAPO_TRIED", "0")
    score = run_text(text)
    assert os.environ["DACAPO_TRIED"] == "1"
    history = RunFolder(tmp_path / "a" / "0").read_history()
    assert history.is_done
    assert history.document is not None
    assert history.document.pop("data")["input_voxel_size"] == [8.0, 8.0, 8.0]
    assert history.document.pop("code")["version"] == __version__
    assert history.document.pop("machine")["device"] == "cpu"
    assert history.document.pop("compiled") is False
    assert history.document.pop("network")["_type_"] == "UNetConfig"
    assert history.document == request.document(config)
    best = history.best()
    assert best is not None
    assert score == best.value


def test_a_mistake_names_its_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_run_config("name=a", "trainer.learning_rate=1e30")
    text = job_text(config, tmp_path, RunRequest(), 3, {})
    with pytest.raises(InputError):
        run_text(text)
    assert capsys.readouterr().err.startswith("error: job 3: ")


def test_a_text_with_something_to_resolve(tmp_path: Path) -> None:
    text = job_text(small_run_config("name=a"), tmp_path, RunRequest(), 0, {})
    plain = json.loads(text)
    plain["config"]["name"] = "${oc.env:HOME}"
    with pytest.raises(InputError, match="is not a plain value"):
        run_text(json.dumps(plain))


SCRIPT = """
from dataclasses import dataclass
from dacapo.config import config
from dacapo.experiments.trainers.default_trainer_config import DefaultTrainerConfig
from dacapo.train import main

@config("trainer")
@dataclass(kw_only=True)
class MyTrainerConfig(DefaultTrainerConfig):
    pass

main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in a module", "in the script"])
def test_classes_of_a_users_script(tmp_path: Path, where: str) -> None:
    """The script calls `main` without asking for its name."""
    write_script(tmp_path)
    if where == "in the script":
        (tmp_path / "train.py").write_text(SCRIPT)
        (tmp_path / "conf" / "trainer" / "mine.yaml").write_text(
            "defaults: [default, MyTrainerConfig, _self_]\n"
        )
    trainer = ["trainer=slow", "trainer.pause=0"] if where == "in a module" else ["trainer=mine"]
    command = [
        sys.executable, "train.py", "-m", "--config-dir", "conf", "hydra/launcher=local", *trainer,
        *SMALL_AFFINITIES, "repetition=0", "name=a",
    ]  # fmt: skip
    environment = {**os.environ, "CI": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert RunFolder(tmp_path / "runs" / "a" / "0").read_history().is_done
