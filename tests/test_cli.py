"""Arguments, help and errors of the commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.command_line import imports_nothing_heavy, run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.batchsize=2"], "Key 'batchsize' not in 'DefaultTrainerConfig'"),
        (["trainer.batch_size=many"], "could not be converted to Integer"),
        (["task=nope"], "Could not find 'task/nope'"),
        (["task.neighborhood=[]"], "task.neighborhood is empty: give at least one offset"),
        (["task.neighborhood=???"], "task.neighborhood: required"),
        (["start=run"], "start.run: required, give a value"),
        (["trainer.optimizer=lion"], "expected one of [adamw, radam, sgd]"),
        (["experiment=flyem"], "datasplit.train.train.raw is missing (and datasplit.raw too)"),
        (["datasplit=volumes"], "datasplit.train is empty: name at least one volume"),
        (["num_iterations"], "Error parsing override 'num_iterations'"),
        (["hydra/launcher=slurm"], "launchers start the jobs of a sweep, so add -m"),
    ],
)
def test_a_mistake_is_one_message_without_torch(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, out, err = imports_nothing_heavy(tmp_path, *arguments)
    assert status == 1
    assert message in err
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert not (tmp_path / "runs" / "affinities").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--cfg", "job"], ["--help"], ["--info", "defaults-tree"], ["--cfg", "hydra"],
     ["--help", "experiment=flyem", "datasplit.raw=a", "datasplit.gt=b"]],
)  # fmt: skip
def test_config_commands(tmp_path: Path, arguments: list[str]) -> None:
    status, out, err = imports_nothing_heavy(tmp_path, *arguments)
    assert status == 0, err
    expected = {"--cfg": "overrides" if "hydra" in arguments else "neighborhood"}
    assert expected.get(arguments[0], "task") in out
    if "--help" in arguments:
        assert "Offsets in voxels, one per output channel" in out
        assert "trainer/augments=blur, contrast, cutout" in out
    assert list(tmp_path.iterdir()) == []


def test_tab_completion_of_the_console_script(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("dacapo-train")
    if not script.exists():
        pytest.skip("needs the installed console script dacapo-train")
    status, out, err = run(tmp_path, program=[str(script), "-sc", "install=bash"])
    assert status == 0, err
    assert "complete -o nospace" in out
    query = ["bash", "-c", f"COMP_POINT=99 COMP_LINE='dacapo-train task=' {script} -sc query=bash"]
    status, out, err = run(tmp_path, program=query)
    assert "task=affinities" in out, err
