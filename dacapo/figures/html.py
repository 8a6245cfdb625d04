"""Self-contained HTML pages with pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import numpy as np

Image = np.ndarray[Any, np.dtype[Any]]

_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:80em}td,th{padding:.3em .8em;"
    "text-align:left;border-bottom:1px solid #ccc}li{color:#a40000}"
    "img{image-rendering:pixelated;height:20em;margin:.2em}"
    "figure{display:inline-block;margin:.3em}figure img{height:13em;margin:0}"
    "figcaption{font-size:.85em;color:#444}"
)


def page(title: str, *parts: str) -> str:
    """A page of parts that are HTML already."""
    head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
    return f"{head}<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{''.join(parts)}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows below their columns."""
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    return f"<table><tr>{head}</tr>{cells}</table>"


def picture(image: Image) -> str:
    """An image (Y, X, 3) in 0 to 1."""
    import imagecodecs

    png = imagecodecs.png_encode((np.clip(image, 0, 1) * 255).astype(np.uint8))
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="">'


def figure(image: Image, caption: str) -> str:
    """A smaller image with a caption."""
    return f"<figure>{picture(image)}<figcaption>{html.escape(caption)}</figcaption></figure>"
