"""The page of a comparison: complete, offline, and safe whatever the runs are called."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dacapo.compare import CompareConfig, compare_command
from dacapo.errors import InputError
from tests.comparison.test_verdict import column, grid, write_runs

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium or google-chrome")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Of two networks with two rates, and a run that failed."""
    grid(tmp_path / "runs", ("a", "b", "c"))
    write_runs(tmp_path / "runs", "unet_9", [None], {"architecture": "unet"})
    path = tmp_path / "report.html"
    assert compare_command(CompareConfig(runs_dir=[str(tmp_path / "runs")], report=str(path))) == 1
    return path


def opened(page: Path, script: str = "") -> tuple[str, str]:
    """The elements of a page that a browser has drawn, and what its console says.

    Args:
        script: runs at the end.
    """
    path = page.with_name("opened.html")
    path.write_text(page.read_text() + f"<script>{script}</script>")
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            "--enable-logging=stderr", "--virtual-time-budget=8000", "--window-size=1280,2000",
            "--host-resolver-rules=MAP * ~NOTFOUND", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return re.sub(r"<script>.*?</script>", "", done.stdout, flags=re.DOTALL), console


def test_the_page_says_what_the_terminal_says(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page.read_text()
    assert len(text) < 2**21
    beats = re.findall(r"<li>(.*? beats .*?)</li>", text)
    assert beats
    capsys.readouterr()
    compare_command(CompareConfig(runs_dir=[str(page.parent / "runs")]))
    out = capsys.readouterr().out
    assert all(sentence.replace("&lt;", "<") in out for sentence in beats)
    assert "out of memory" in text
    assert "python -m dacapo.train architecture=unet trainer.learning_rate=0.1" in text
    for title in ("Configurations", "Costs", "Differences", "Effects"):
        assert f"<h2>{title}</h2>" in text
    # Names of schemas are no requests.
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=.(https?:)?//", outside)


@needs_browser
def test_a_browser_draws_all_charts_and_filters_them(page: Path) -> None:
    shown, console = opened(page)
    assert console == ""
    num_charts = shown.count("data-chart=")
    assert num_charts >= 6
    assert shown.count("<svg") == num_charts
    rows = re.findall(r"<tr data-labels=[^>]*>", shown)
    assert not any("hidden" in row for row in rows)
    choose = """
        const s = document.querySelector('[data-factor="architecture"]');
        s.value = "unet"; s.dispatchEvent(new Event("change"));
    """
    chosen, console = opened(page, choose)
    assert console == ""
    rows = re.findall(r"<tr data-labels=[^>]*>", chosen)
    for row in rows:
        assert ("hidden" in row) == ("residual_unet" in row), row
    dots = re.compile(r'aria-label="configuration: residual_unet')
    assert dots.search(shown)
    assert not dots.search(chosen)


@needs_browser
def test_names_of_others_run_nothing(tmp_path: Path) -> None:
    evil = "</script><script>document.title='taken'</script>"
    for number, value in enumerate((evil, "<img src=x onerror=document.title='taken'>")):
        write_runs(
            tmp_path / "runs", f"n{number}", column(1.5, number), {"architecture": value},
            [f"trainer.learning_rate={value}"],
        )  # fmt: skip
    page = tmp_path / "report.html"
    compare_command(CompareConfig(runs_dir=[str(tmp_path / "runs")], report=str(page)))
    shown, console = opened(page)
    assert console == ""
    assert "<title>Comparison of the runs in runs</title>" in shown
    assert "<img" not in shown
    assert "&lt;/script" in shown


def test_the_best_run_of_each_configuration_is_shown(tmp_path: Path) -> None:
    grid(tmp_path / "runs")
    image = np.random.default_rng(0).integers(0, 255, (40, 3000, 3)).astype(np.uint8)
    for path in (tmp_path / "runs").glob("*/2"):
        for name in ("picture.png", "regions.png"):
            (path / name).write_bytes(imagecodecs.png_encode(image))
    page = tmp_path / "report.html"
    compare_command(CompareConfig(runs_dir=[str(tmp_path / "runs")], report=str(page)))
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page.read_text())
    assert len(shown) == 2 * 4  # repetition 2 is the best of each
    assert (
        page.read_text().count("its best, its median and its worst region") == 2 * 4
    )  # alt and caption
    assert "Probability of each rank" in page.read_text()
    compare_command(
        CompareConfig(runs_dir=[str(tmp_path / "runs")], report=str(page), group=["architecture"])
    )
    assert "scores are means over 2 combinations of trainer.learning_rate" in page.read_text()
    assert imagecodecs.jpeg_decode(base64.b64decode(shown[0])).shape == (13, 1000, 3)


def test_one_configuration_has_a_page(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", "a", column(1.5, 0)[:1])
    page = tmp_path / "report.html"
    compare_command(CompareConfig(runs_dir=[str(tmp_path / "runs")], report=str(page)))
    assert "there is nothing to compare yet" in page.read_text()


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report=a\.pdf: the name must end in \.html"):
        CompareConfig(report="a.pdf")
