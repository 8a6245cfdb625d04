"""Self-contained HTML pages with a table, warnings and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import jinja2
import numpy as np

Image = np.ndarray[Any, np.dtype[Any]]

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("dacapo.figures"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class HtmlFigure:
    """An image (Y, X, 3) in 0 to 1 with a caption."""

    image: Image
    caption: str = ""

    @property
    def png(self) -> str:
        """The image as base64-encoded PNG."""
        encoded = imagecodecs.png_encode((np.clip(self.image, 0, 1) * 255).astype(np.uint8))
        return base64.b64encode(encoded).decode()


@dataclass(frozen=True)
class Section:
    """A heading, lines of text, and figures side by side."""

    title: str
    lines: Sequence[str] = ()
    figures: Sequence[HtmlFigure] = field(default=())


def html_page(
    title: str,
    sections: Sequence[Section],
    *,
    intro: str = "",
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    warnings: Sequence[str] | None = None,
    height: int = 20,
) -> str:
    """A page.

    Args:
        columns, rows: the table.
        warnings: a list of warnings; None: no such list.
        height: height of a picture, in em.
    """
    return _templates.get_template("page.html").render(
        title=title, sections=sections, intro=intro, columns=columns, rows=rows,
        warnings=warnings, height=height,
    )  # fmt: skip
