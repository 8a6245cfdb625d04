"""The notebook runs from the first cell to the last, and draws what it promises."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs pip install 'dacapo[test]'")
nbclient = pytest.importorskip("nbclient", reason="needs pip install 'dacapo[test]'")

NOTEBOOK = Path(__file__).parents[1] / "docs/getting-started/from-data-to-comparison.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, 4).cells:
        assert not cell.get("outputs")


@pytest.mark.slow
def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, 4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where).execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 4  # data, scores, a picture of either task
    text = "".join(o.get("text", "") for o in outputs)
    assert "Verdict" in text
    assert "objects touch: 100% of their surface" in text
    assert "segmented.ome.zarr: " in text
    assert (tmp_path / "cells" / "segmented.ome.zarr").is_dir()
