"""Charts in the grammar of Vega-Lite, as plain data; a page draws them in the browser.

Rows are plain dicts. Each has the label of its `configuration`, by which a page can filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
Spec = dict[str, Any]

# Okabe and Ito 2008: told apart with any colour vision.
_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"]
_GREY = "#888"  # seen on white and on black
_STEP = 24
_HEIGHT = 260


def dot_plot(rows: Sequence[Row], means: Sequence[Row], order: Sequence[str], score: str) -> Spec:
    """Each run as a dot (`score`), with the mean of its configuration and an interval (`mean`,
    `low`, `high`).

    Args:
        order: of configurations, from the top.
        score: the axis title.
    """
    y = _configurations(order)
    x = {"type": "quantitative", "scale": {"zero": False}, "title": score}
    return _chart(
        f"Scores of all runs by configuration: {score}",
        {"height": _STEP * len(order)},
        [
            {
                "data": {"values": list(means)},
                "mark": {"type": "rule", "strokeWidth": 2, "color": _GREY},
                "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
            },
            {
                "data": {"values": list(rows)},
                "mark": {"type": "point", "filled": True, "opacity": 0.6, "color": _COLOURS[0]},
                "encoding": {
                    "y": y, "x": {**x, "field": "score"}, "tooltip": _tooltip(rows),
                },
            },
            {
                "data": {"values": list(means)},
                "mark": {"type": "point", "shape": "diamond", "size": 90, "filled": True,
                         "color": _COLOURS[5]},
                "encoding": {"y": y, "x": {**x, "field": "mean"}, "tooltip": _tooltip(means)},
            },
        ],
    )  # fmt: skip


def forest(rows: Sequence[Row], title: str) -> Spec:
    """Differences (`mean`, `low`, `high`) of `pair`s with a line at 0; `decided` or not.

    The two names of a pair are lines of its label.
    """
    label = {"labelLimit": 320, "labelExpr": "split(datum.label, '\\n')"}
    y = {"field": "pair", "type": "nominal", "sort": None, "title": None, "axis": label}
    x = {"type": "quantitative", "title": title}
    colour = {
        "field": "decided", "type": "nominal", "title": None,
        "scale": {"domain": ["decided", "not decided"], "range": [_COLOURS[5], _COLOURS[7]]},
        "legend": {"orient": "top"},
    }  # fmt: skip
    values = {"data": {"values": list(rows)}}
    return _chart(
        f"Differences with 95 % intervals: {title}",
        {"height": 1.6 * _STEP * len(rows)},
        [
            {"mark": {"type": "rule", "strokeDash": [4, 4], "color": _GREY},
             "encoding": {"x": {"datum": 0}}},
            {**values, "mark": {"type": "rule", "strokeWidth": 2},
             "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"},
                          "color": colour}},
            {**values, "mark": {"type": "point", "filled": True, "size": 70},
             "encoding": {"y": y, "x": {**x, "field": "mean"}, "color": colour,
                          "shape": {**colour, "scale": {"domain": ["decided", "not decided"],
                                                        "range": ["circle", "square"]}},
                          "tooltip": _tooltip(rows)}},
        ],
    )  # fmt: skip


def slopes(rows: Sequence[Row], order: Sequence[str], score: str) -> Spec:
    """The `score` of each configuration, joined for each `repetition`."""
    return _chart(
        f"Scores of each repetition across configurations: {score}",
        {"height": _HEIGHT},
        [
            {
                "data": {"values": list(rows)},
                "mark": {"type": "line", "point": True, "opacity": 0.7},
                "encoding": {
                    "x": {"field": "configuration", "type": "nominal", "sort": list(order),
                          "title": None, "axis": {"labelAngle": -25, "labelLimit": 160}},
                    "y": {"field": "score", "type": "quantitative", "scale": {"zero": False},
                          "title": score},
                    "color": _colour("repetition"),
                    "tooltip": _tooltip(rows),
                },
            }
        ],
    )  # fmt: skip


def bars(rows: Sequence[Row], order: Sequence[str], value: str, title: str) -> Spec:
    """A bar for each configuration."""
    return _chart(
        title,
        {"height": _STEP * len(order)},
        [
            {
                "data": {"values": list(rows)},
                "mark": {"type": "bar", "color": _COLOURS[0]},
                "encoding": {
                    "y": _configurations(order),
                    "x": {"field": value, "type": "quantitative", "title": title,
                          "scale": {"domain": [0, 1]}},
                    "tooltip": _tooltip(rows),
                },
            }
        ],
    )  # fmt: skip


def heat_map(rows: Sequence[Row], order: Sequence[str], title: str) -> Spec:
    """The `chance` of each configuration to have each `rank`, as shade and as text."""
    place = {
        "y": _configurations(order),
        "x": {"field": "rank", "type": "ordinal", "title": "rank, 1 is best",
              "axis": {"labelAngle": 0}},
    }  # fmt: skip
    values = {"data": {"values": list(rows)}}
    shade = {"field": "chance", "type": "quantitative", "title": "probability",
             "scale": {"domain": [0, 1], "scheme": "blues"}}  # fmt: skip
    dark = {"condition": {"test": "datum.chance > 0.5", "value": "white"}, "value": "black"}
    text = {"field": "chance", "type": "quantitative", "format": ".2f"}
    return _chart(
        title,
        {"height": _STEP * len(order)},
        [
            {**values, "mark": "rect",
             "encoding": {**place, "color": shade, "tooltip": _tooltip(rows)}},
            {**values, "mark": {"type": "text", "fontSize": 10},
             "encoding": {**place, "text": text, "color": dark}},
        ],
    )  # fmt: skip


def curves(rows: Sequence[Row], order: Sequence[str], score: str) -> Spec:
    """The `score` of each `run` over `iteration`, thin, and the mean of its configuration."""
    values = {"data": {"values": list(rows)}}
    x = {"field": "iteration", "type": "quantitative", "title": "iteration"}
    y = {"field": "score", "type": "quantitative", "scale": {"zero": False}, "title": score}
    return _chart(
        f"Scores over iterations: {score}",
        {"height": _HEIGHT},
        [
            {**values, "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.35, "point": True},
             "encoding": {"x": x, "y": y, "detail": {"field": "run"},
                          "color": _colour("configuration", order), "tooltip": _tooltip(rows)}},
            {**values, "mark": {"type": "line", "strokeWidth": 3},
             "encoding": {"x": x, "y": {**y, "aggregate": "mean"},
                          "color": _colour("configuration", order)}},
        ],
    )  # fmt: skip


def scatter(rows: Sequence[Row], order: Sequence[str], x: tuple[str, str], score: str) -> Spec:
    """The `mean` score against a cost; `front` marks what is not beaten in both."""
    name, title = x
    return _chart(
        f"{title} and score: {score}",
        {"height": _HEIGHT},
        [
            {
                "data": {"values": list(rows)},
                "mark": {"type": "point", "filled": True, "size": 110},
                "encoding": {
                    "x": {"field": name, "type": "quantitative", "title": title,
                          "scale": {"zero": False}},
                    "y": {"field": "mean", "type": "quantitative", "scale": {"zero": False},
                          "title": score},
                    "color": _colour("configuration", order),
                    "shape": {"field": "front", "type": "nominal", "title": None,
                              "scale": {"domain": ["front", "behind"],
                                        "range": ["diamond", "circle"]}},
                    "tooltip": _tooltip(rows),
                },
            }
        ],
    )  # fmt: skip


def _chart(description: str, size: Spec, layers: list[Spec]) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        **size,
        "layer": layers,
        "config": {
            "background": None,
            "view": {"stroke": None},
            "font": "sans-serif",
            "axis": {"gridOpacity": 0.25},
            "axisQuantitative": {"tickCount": 6, "labelOverlap": True},
            "legend": {"symbolBaseFillColor": _GREY, "symbolBaseStrokeColor": _GREY},
        },
    }


def _configurations(order: Sequence[str]) -> Spec:
    return {
        "field": "configuration", "type": "nominal", "sort": list(order), "title": None,
        "axis": {"labelLimit": 320},
    }  # fmt: skip


def _colour(field: str, order: Sequence[str] | None = None) -> Spec:
    columns = {"orient": "bottom", "columns": 2, "labelLimit": 300}
    return {
        "field": field, "type": "nominal", "scale": {"range": _COLOURS}, "legend": columns,
        **({} if order is None else {"sort": list(order)}),
    }  # fmt: skip


def _tooltip(rows: Sequence[Row]) -> list[Spec]:
    names = list(dict.fromkeys(key for row in rows for key in row))
    return [{"field": name, "format": ".3f"} if _is_float(rows, name) else {"field": name}
            for name in names]  # fmt: skip


def _is_float(rows: Sequence[Row], name: str) -> bool:
    return any(isinstance(row.get(name), float) for row in rows)
