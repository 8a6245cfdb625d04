"""Arguments, help and errors of the commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import dacapo.experiments.run_config  # its classes are those of the groups
from dacapo.cli import completion, from_arguments
from dacapo.cli.command_line import parse, quoted
from dacapo.cli.completion import complete
from dacapo.errors import InputError
from dacapo.predict import PredictConfig
from tests.command_line import imports_nothing_heavy, run


@pytest.mark.parametrize("argument", ["trainer.batchsize=2", "task=nope", "num_iterations=0"])
def test_a_mistake_imports_nothing_heavy(tmp_path: Path, argument: str) -> None:
    status, out, err = imports_nothing_heavy(tmp_path, argument)
    assert status == 1
    assert err.startswith(f"error: {argument}")
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


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
    script = Path(sys.executable).with_name("dacapo")
    if not script.exists():
        pytest.skip("needs the installed console script dacapo")
    typed = "dacapo train task=aff"
    query = f"""
        PATH={script.parent}:$PATH
        eval "$(dacapo --completion bash)"
        COMP_LINE='{typed}' COMP_POINT={len(typed)} _dacapo
        echo "${{COMPREPLY[@]}}"
    """
    status, out, err = run(tmp_path, program=["bash", "-c", query])
    assert status == 0, err
    assert out.split() == ["affinities", "affinities_2d", "affinities_lsds"]


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("a=trailing ", "trailing"), (r"a=\[1\]", "[1]"), (r"a={b: 'it\'s'}", {"b": "it's"}),
        ("a={b: p(1).h5:raw}", {"b": "p(1).h5:raw"}),
        ("a=x=y", "x=y"), ("a=null", None), ("a=1e-3", 1e-3), ("a=[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ("a='x, y'", "x, y"), ("a=https://x.org/a?b=c&d", "https://x.org/a?b=c&d"),
    ],
)  # fmt: skip
def test_quotes_are_added_where_they_are_missing(typed: str, value: object) -> None:
    (override,) = OverridesParser.create().parse_overrides([quoted(typed)])
    assert override.value() == value


@pytest.mark.parametrize(
    ("typed", "override"),
    [
        ("datasplit.train.a.gt=", "datasplit.train={a: {gt: ''}}"),
        ("+datasplit.train.a.raw=x.h5:raw", "datasplit.train={a: {raw: x.h5:raw}}"),
        ("datasplit.train.0.raw=x", "datasplit.train.0.raw=x"),
        ("datasplit.train.a.raw=x,y", "datasplit.train.a.raw=x,y"),
        ("datasplit.train.a.region.z=[0,1],[2,3]", "datasplit.train.a.region.z=[0,1],[2,3]"),
        ("~datasplit.train.a", "~datasplit.train.a"),
        ("trainer.augments.mirror.p=1", "trainer.augments.mirror.p=1"),
    ],
)
def test_entries_are_made_where_they_are_missing(typed: str, override: str) -> None:
    assert parse(["-m", typed]).overrides == [override]


def test_every_command_completes_and_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(dacapo.__file__).parent
    takes = {f.stem for f in folder.glob("*.py") if "split_arguments(" in f.read_text()}
    assert {*completion._TAKE_TRAINS} == {*takes, "train"}
    for name, text in completion.summaries():
        assert text, name
        assert "--help" in complete(f"dacapo {name} ")


def test_completion_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("runs/a/0", "runs/b/3", "mine/c/1"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "config.yaml").touch()
    assert complete("dacapo segment run=") == ["run=a/0", "run=b/3"]
    assert complete("dacapo segment runs_dir=mine run=") == ["run=c/1"]
    assert complete("dacapo segment mirror=t") == ["mirror=true"]
    assert complete("dacapo convert kind=l") == ["kind=labels"]
    assert complete("dacapo train task=distance trainer.precision=b") == ["trainer.precision=bf16"]
    assert complete("dacapo train trainer.warm") == ["trainer.warmup_iterations="]
    assert complete("dacapo nothing ") == []
    wrong_before = "dacapo train task=nothing trainer.no=1 trainer.warm"
    assert complete(wrong_before) == ["trainer.warmup_iterations="]
    assert complete("dacapo train trainer.seed=1,2 name='a b' task=affinities,one") == [
        "task=affinities,one_hot"
    ]
    assert complete("dacapo train trainer/augments=[mirror,el") == [
        "trainer/augments=[mirror,elastic"
    ]
    (tmp_path / "conf" / "task").mkdir(parents=True)
    (tmp_path / "conf" / "task" / "mine.yaml").write_text("defaults: [affinities, _self_]\n")
    assert complete(f"dacapo train --config-dir {tmp_path}/conf task=mi") == ["task=mine"]


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--help"], 0, "  segment   Segment a volume of any size"),
        (["--version"], 0, dacapo.__version__),
        (["--completion", "fish"], 0, "complete -c dacapo"),
        (["trian"], 1, "there is no command trian; did you mean train?"),
        (["status", "runs_dir=nowhere"], 1, "nowhere"),
    ],
)
def test_one_name_for_all_commands(
    tmp_path: Path, arguments: list[str], status: int, expected: str
) -> None:
    found, out, err = run(tmp_path, program=[sys.executable, "-m", "dacapo", *arguments])
    assert found == status, err
    assert expected in (err if status else out)
    assert "Traceback" not in err


def test_one_number_for_a_list_of_them() -> None:
    options = from_arguments(PredictConfig, ["run=a/0", "input=b", "output=c.zarr", "iteration=3"])
    assert options is not None
    assert options.iteration == [3]


@pytest.mark.parametrize("typed", ["run=[[1],[2,3]]", "iteration=[[1]]", "run=[{a: 1}]"])
def test_a_list_holds_single_values(typed: str) -> None:
    with pytest.raises(InputError, match=r"give a list of single values, such as \[a,b\]"):
        from_arguments(PredictConfig, ["input=b", "output=c.zarr", typed])
