"""The documentation: its commands parse, its Python runs, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from dacapo.cli import from_arguments, parse, split_arguments
from dacapo.compare import CompareConfig
from dacapo.comparison.tables import compare
from dacapo.config import conf_dir
from dacapo.convert import ConvertConfig
from dacapo.download import DownloadConfig
from dacapo.experiments.run_config import RunConfig
from dacapo.explain import ExplainConfig
from dacapo.export import ExportConfig
from dacapo.inspect import InspectConfig
from dacapo.new import NewConfig
from dacapo.predict import PredictConfig
from dacapo.preview import PreviewConfig
from dacapo.remove import RemoveConfig
from dacapo.score import ScoreConfig
from dacapo.segment import SegmentConfig
from dacapo.status import StatusConfig
from dacapo.train import train
from dacapo.validate import ValidateConfig
from dacapo.verify import VerifyConfig
from dacapo.view import ViewConfig
from tests.conftest import small_run_config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
OWN = {
    "compare": CompareConfig, "convert": ConvertConfig, "score": ScoreConfig,
    "remove": RemoveConfig, "predict": PredictConfig,
    "export": ExportConfig, "segment": SegmentConfig, "status": StatusConfig,
    "explain": ExplainConfig, "verify": VerifyConfig, "view": ViewConfig,
    "validate": ValidateConfig, "download": DownloadConfig,
}  # fmt: skip
WITH_TRAIN = {"inspect": InspectConfig, "preview": PreviewConfig}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            joined = block.replace("\\\n", " ")
            found += [" ".join(line.split()) for line in joined.splitlines() if "dacapo." in line]
    return list(dict.fromkeys(found))


def run_configs(arguments: list[str]) -> list[RunConfig]:
    """Of a single run, or of the first jobs of a sweep."""
    plain = [a for a in arguments if a not in ("-m", "--multirun")]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        if plain == arguments:
            return [RunConfig.from_hydra(compose("train", overrides=plain))]
        if any("launcher" in a or "experiment=search" in a for a in plain):
            plain = [a for a in plain if "launcher" not in a]  # launchers are tested by themselves
            return [RunConfig.from_hydra(compose("train", overrides=plain))]
        parsed = OverridesParser.create().parse_overrides(plain)
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
        return [RunConfig.from_hydra(compose("train", overrides=list(job))) for job in jobs[:4]]


def test_there_are_commands() -> None:
    assert len(commands()) > 25


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command, comments=True)
    name = next(w for w in words if w.startswith("dacapo.")).removeprefix("dacapo.")
    arguments = words[words.index(f"dacapo.{name}") + 1 :]
    if name in OWN:
        assert from_arguments(OWN[name], arguments) is not None
        return
    if name == "new":  # chooses what the arguments leave open
        options, arguments = split_arguments(NewConfig, arguments)
        assert options is not None
        assert parse(arguments).flags == []
        return
    if name in WITH_TRAIN:
        options, arguments = split_arguments(WITH_TRAIN[name], arguments)
        assert options is not None
    else:
        assert name == "train"
    if arguments != ["--help"]:
        assert run_configs(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_code_blocks_are_code(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block)


def test_the_front_page_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_questions_to_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's code, on the runs of a sweep."""
    for name, fmaps in (("a", 4), ("b", 6)):
        for repetition in range(2):
            own = f"name={name}", f"repetition={repetition}", f"architecture.num_fmaps={fmaps}"
            train(small_run_config(*own), tmp_path / "runs")
    compare(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(ROOT / "docs" / "how-to" / "dataset.md", "python"))
    found: dict[str, Any] = {}
    exec(compile(code, "dataset.md", "exec"), found)
    assert found["best"].sizes == {"runs": 4}
    assert np.isfinite(found["best"]).all()
    assert found["table"].num_parameters.values[0] < found["table"].num_parameters.values[-1]
    assert found["each"].sizes == {"runs": 4, "parameters": 2}
