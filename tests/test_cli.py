"""Arguments, help and errors of the commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import dacapo.experiments.run_config  # noqa: F401  (its classes are those of the groups)
from dacapo.cli.command_line import parse, quoted
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
    script = Path(sys.executable).with_name("dacapo-train")
    if not script.exists():
        pytest.skip("needs the installed console script dacapo-train")
    status, out, err = run(tmp_path, program=[str(script), "-sc", "install=bash"])
    assert status == 0, err
    assert "complete -o nospace" in out
    query = ["bash", "-c", f"COMP_POINT=99 COMP_LINE='dacapo-train task=' {script} -sc query=bash"]
    status, out, err = run(tmp_path, program=query)
    assert "task=affinities" in out, err


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
