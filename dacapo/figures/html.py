"""Self-contained HTML pages with a table, warnings and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import jinja2
import numpy as np

from dacapo.figures.pictures import nice_length

Image = np.ndarray[Any, np.dtype[Any]]

templates = jinja2.Environment(
    loader=jinja2.PackageLoader("dacapo.figures"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class HtmlFigure:
    """An image (Y, X, 3) in 0 to 1 with a caption.

    Attributes:
        pixel_size: of y and x, in `unit`; for the proportions and the scale bar.
        limits: the values that are black and white, for a colour bar; None: no bar.
    """

    image: Image
    caption: str = ""
    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = "pixel"
    limits: tuple[float, float] | None = None

    @property
    def png(self) -> str:
        """The image as base64-encoded PNG."""
        encoded = imagecodecs.png_encode((np.clip(self.image, 0, 1) * 255).astype(np.uint8))
        return base64.b64encode(encoded).decode()

    @property
    def proportions(self) -> float:
        """Width divided by height."""
        return self._width / float(self.image.shape[0] * self.pixel_size[0])

    @property
    def scale(self) -> str:
        """The length of the scale bar."""
        return f"{nice_length(self._width):g} {self.unit}"

    @property
    def scale_percent(self) -> float:
        """The length of the scale bar as a part of the width."""
        return 100 * nice_length(self._width) / self._width

    @property
    def _width(self) -> float:
        return float(self.image.shape[1] * self.pixel_size[1])


@dataclass(frozen=True)
class Section:
    """A heading, lines of text, and groups of figures that stay side by side."""

    title: str
    lines: Sequence[str] = ()
    groups: Sequence[Sequence[HtmlFigure]] = field(default=())


def html_page(
    title: str,
    sections: Sequence[Section],
    *,
    intro: str = "",
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    warnings: Sequence[str] | None = None,
    width: int = 20,
) -> str:
    """A page.

    Args:
        columns, rows: the table.
        warnings: a list of warnings; None: no such list.
        width: width of a picture where there is room, in em.
    """
    return templates.get_template("page.html").render(
        title=title, sections=sections, intro=intro, columns=columns, rows=rows,
        warnings=warnings, width=width,
    )  # fmt: skip
