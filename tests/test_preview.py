from __future__ import annotations

import base64
import re
from pathlib import Path

import imagecodecs
import pytest

from dacapo.preview import preview
from tests.conftest import TASKS, small_task_config


@pytest.mark.parametrize("task", ["affinities_lsds", "hot_distance", "boundary"])
def test_a_page_of_batches(task: str, tmp_path: Path) -> None:
    assert task in TASKS
    run_config = small_task_config(
        task, "trainer.batch_size=2", "trainer/augments=[mirror,elastic,defocus,misalignment]"
    )
    page = tmp_path / "page.html"
    preview(run_config, 3, page)
    text = page.read_text()
    assert re.findall(r"iteration (\d), sample (\d)", text) == [
        ("0", "0"), ("0", "1"), ("1", "0")
    ]  # fmt: skip
    pictures = re.findall(r"base64,([^\"]+)", text)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert len(pictures) == len(captions)
    assert {
        "raw, channel 0, section 14 of 28: the whole input", "labels, section 6 of 12: the output"
    } < set(captions)  # fmt: skip
    shapes = {imagecodecs.png_decode(base64.b64decode(p)).shape[:2] for p in pictures}
    assert shapes == {(28, 28), (12, 12)}
    assert ("the first 12 of 16 channels" in text) == (task == "affinities_lsds")
