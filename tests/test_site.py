"""The documentation as a site: it builds without a warning, needs no network, and has every key."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from tests.conftest import composed

pytest.importorskip("sphinx", reason="needs pip install 'dacapo[docs]'")
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going",
         "--doctree-dir", str(folder / "trees"), str(DOCS), str(folder / "html")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {p.relative_to(DOCS).with_suffix(".html") for p in DOCS.rglob("*.md")}
    pages -= {p for p in pages if p.parts[0] == "_build"}
    assert pages
    for page in pages:
        text = (site / page).read_text()
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(https?:[^"]+)', text)
        assert not loaded, page
    assert (site / "searchindex.js").stat().st_size > 10_000


@pytest.mark.slow
def test_every_key_of_the_default_is_on_the_page_of_keys(site: Path) -> None:
    text = unescape(re.sub("<[^>]+>", "", (site / "reference" / "keys.html").read_text()))

    def check(node: DictConfig, prefix: str) -> None:
        for key in node:
            inner = node._get_node(key)
            if (
                isinstance(inner, DictConfig)
                and len(inner)
                and OmegaConf.get_type(inner) is not dict
            ):
                check(inner, f"{prefix}{key}.")
            elif not isinstance(inner, DictConfig):
                assert f"{prefix}{key}" in text

    check(composed(), "")
    for option in ("resenc_l", "asha", "affinity_components", "csv"):
        assert f"={option}" in text
