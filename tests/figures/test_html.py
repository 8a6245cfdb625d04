from __future__ import annotations

import base64
import re

import imagecodecs
import numpy as np

from dacapo.figures.html import HtmlFigure, Section, html_page


def test_what_users_wrote_is_text_and_no_markup() -> None:
    page = html_page(
        "<b>title", [Section("a & b", ["<script>"])], columns=["<i>"], rows=[["x < y"]],
        warnings=["<u>"],
    )  # fmt: skip
    assert not re.search(r"<(b|script|i|u)>", page)
    for shown in ("&lt;b&gt;title", "a &amp; b", "&lt;script&gt;", "x &lt; y", "&lt;u&gt;"):
        assert shown in page


def test_a_picture_is_in_the_page_itself() -> None:
    image = np.zeros((2, 3, 3))
    image[0, 1] = [1.0, 0.5, 2.0]
    figure = HtmlFigure(image, "a caption", (8.0, 4.0), "nm", limits=(0.0, 2.5))
    page = html_page("t", [Section("s", groups=[[figure]])])
    (encoded,) = re.findall(r"data:image/png;base64,([^\"']+)", page)
    decoded = imagecodecs.png_decode(base64.b64decode(encoded))
    assert decoded[0, 1].tolist() == [255, 127, 255]
    assert decoded.sum() == 255 + 127 + 255
    assert "a caption" in page
    assert "aspect-ratio: 0.75" in page  # 3 voxels of 4 nm, 2 of 8 nm
    assert "2 nm" in page  # the bar, a sixth of 12 nm
    assert f"width: {100 / 6}" in page
    assert "2.5" in page
    assert "http" not in page.replace("http-equiv", "")


def test_no_list_of_warnings_and_an_empty_one() -> None:
    assert html_page("t", []) != html_page("t", [], warnings=[])
