"""The comparison of runs as one page that works without a network."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import imagecodecs
import numpy as np

from dacapo.comparison.gather import Gathered
from dacapo.comparison.run_record import RunRecord
from dacapo.comparison.statistics import interval
from dacapo.comparison.verdict import Comparison, summary
from dacapo.comparison.verdict_tables import tables
from dacapo.errors import InputError
from dacapo.figures import charts
from dacapo.figures.html import templates
from dacapo.runs import FAILURES

_MAX_PICTURES = 8
"""Configurations of which pictures are shown."""
_PICTURES = {"picture.png": "", "regions.png": ", its best, its median and its worst region"}
_MAX_PAIRS = 40
_MAX_WIDTH = 1200
"""Of a picture, in pixels."""
_NO_LABELS = "[]"


def report(found: Gathered, version: str = "") -> str:
    """The page, as HTML.

    Args:
        version: identifies the content of a page that a server renews; empty: a file.

    Raises:
        InputError: the library that draws charts is not installed.
    """
    comparisons, runs, states = found.comparisons, found.runs, found.states
    specs: dict[str, Any] = {}
    parts = []
    for number, comparison in enumerate(comparisons):
        own = [*_charts(comparison, runs)]
        keys = [{"key": f"{number}-{at}", "title": c["description"]} for at, c in enumerate(own)]
        specs |= {key["key"]: spec for key, spec in zip(keys, own, strict=True)}
        parts.append(
            {
                "name": f"{comparison.criterion} on {', '.join(comparison.volumes)}"
                + ("" if comparison.part == "validate" else f" ({comparison.part})"),
                "verdict": list(comparison.sentences()),
                "charts": keys,
                "tables": tables(comparison),
            }
        )
    configurations = {c.label: dict(c.factors) for k in comparisons for c in k.configurations}
    names = {c.name: c.label for k in comparisons for c in k.configurations}
    factors: dict[str, list[str]] = {}
    for own_factors in configurations.values():
        for key, value in own_factors.items():
            factors.setdefault(key, [])
            factors[key] += [value] * (value not in factors[key])
    return templates.get_template("report.html").render(
        title=found.title,
        version=version,
        intro=f"{len(runs)} runs. Lower or higher is better as each axis says.",
        parts=parts,
        factors=factors,
        charts=_script(specs),
        by_label=_script(configurations),
        library=_library(),
        pictures=_pictures(comparisons, runs),
        failed=[f"{label}: {state.error}" for label, state in states.items()
                if state.name in FAILURES],
        runs=[_run(run, states[run.label].name, names) for run in runs],
    )  # fmt: skip


def _charts(comparison: Comparison, runs: Sequence[RunRecord]) -> Sequence[charts.Spec]:
    plain = summary(comparison)
    order = [comparison.label(k) for k in comparison.order]
    if not order:
        return []
    direction = "higher" if comparison.higher_is_better else "lower"
    sign = "above 0" if comparison.higher_is_better else "below 0"
    unit = "" if comparison.units in ("", "1") else f" [{comparison.units}]"
    score = f"{comparison.criterion}{unit}, {direction} is better"
    scores: list[charts.Row] = []
    means: list[charts.Row] = []
    costs: list[charts.Row] = []
    for k in comparison.order:
        label, values = comparison.label(k), comparison.means[k]
        scores += [
            {"configuration": label, "repetition": str(repetition), "score": float(value)}
            for repetition, value in zip(comparison.repetitions, values, strict=True)
            if np.isfinite(value)
        ]
        mean, low, high = interval(values)
        means.append({"configuration": label, "mean": mean, "low": _known(low, mean),
                      "high": _known(high, mean)})  # fmt: skip
        paid = comparison.configurations[k].costs
        costs.append(
            {
                "configuration": label,
                "mean": mean,
                "minutes": _or_none(paid["seconds"] / 60),
                "parameters": _or_none(paid["num_parameters"]),
                "front": "front" if k in comparison.front else "behind",
            }
        )
    finite = {name: v for name, v in comparison.elsewhere.items() if np.isfinite(v)}
    for name, value in finite.items():
        label = f"{name} (not of a run)"
        order.append(label)
        scores.append({"configuration": label, "repetition": "none", "score": value})
    found = [charts.dot_plot(scores, means, order, score)]
    pairs = [
        {
            "first": d["first"], "second": d["second"],
            "pair": f"{d['first']}\nminus {d['second']}",
            "mean": d["mean"], "low": d["low"], "high": d["high"],
            "decided": "decided" if d["is_decided"] else "not decided",
        }
        for d in plain["differences"] if d["low"] is not None
    ]  # fmt: skip
    if pairs:
        found.append(
            charts.forest(
                pairs[:_MAX_PAIRS],
                f"difference of {comparison.criterion}{unit}, {sign}: the first is better",
            )
        )
    if len(order) > 1:
        found.append(charts.slopes(scores, order, score))
    chances = [
        {"configuration": comparison.label(k), "chance": chance}
        for k, chance in comparison.chances.items()
    ]
    if chances:
        found.append(charts.bars(chances, order, "chance", "probability to be the best"))
    ranks = [
        {"configuration": comparison.label(k), "rank": rank + 1, "chance": chance}
        for k, own in comparison.rank_chances.items() if len(comparison.rank_chances) > 2
        for rank, chance in enumerate(own)
    ]  # fmt: skip
    if ranks:
        found.append(charts.heat_map(ranks, order, "Probability of each rank"))
    lines = _over_iterations(comparison, runs)
    if lines:
        found.append(charts.curves(lines, order, score))
    for name, title in (("minutes", "minutes of training"), ("parameters", "parameters")):
        known = [row for row in costs if row[name] is not None]
        if known:
            found.append(charts.scatter(known, order, (name, title), score))
    return found


def _over_iterations(comparison: Comparison, runs: Sequence[RunRecord]) -> list[charts.Row]:
    """The best score of each validation, where it is by the criterion that selects."""
    labels = {c.name: c.label for c in comparison.configurations}
    return [
        {"configuration": labels[run.configuration], "run": run.label, "iteration": iteration,
         "score": float(value)}
        for run in runs
        if run.configuration in labels and run.header is not None and comparison.part == "validate"
        and run.header.selected_by == comparison.criterion
        for iteration, value in zip(run.iterations, run.curve, strict=True)
        if np.isfinite(value)
    ]  # fmt: skip


def _pictures(comparisons: Sequence[Comparison], runs: Sequence[RunRecord]) -> list[dict[str, str]]:
    """The pictures of the best run of each configuration, best first."""
    by_place = {(run.configuration, run.repetition): run for run in reversed(runs)}
    found: dict[str, list[dict[str, str]]] = {}
    for comparison in comparisons:
        for k in comparison.order:
            values = comparison.means[k] * (1 if comparison.higher_is_better else -1)
            at, c = int(np.nanargmax(values)), comparison.configurations[k]
            run = by_place.get((c.name, comparison.repetitions[at]))
            if run is None or c.name in found or len(found) == _MAX_PICTURES:
                continue
            pictures = [
                {
                    "jpeg": base64.b64encode(_smaller(path.read_bytes())).decode(),
                    "caption": f"{c.label}: {run.label}{what}",
                    "labels": json.dumps([c.label]),
                }
                for name, what in _PICTURES.items()
                if (path := run.folder.path / name).is_file()
            ]
            if pictures:
                found[c.name] = pictures
    return [picture for pictures in found.values() for picture in pictures]


def _smaller(png: bytes) -> bytes:
    """A picture as JPEG, not wider than fits a page."""
    image = imagecodecs.png_decode(png)[..., :3]
    step = max(1, -(-image.shape[1] // _MAX_WIDTH))
    height, width = (n // step * step for n in image.shape[:2])
    parts = image[:height, :width].reshape(height // step, step, width // step, step, 3)
    return bytes(imagecodecs.jpeg_encode(parts.mean(axis=(1, 3)).astype(np.uint8), level=85))


def _run(run: RunRecord, state: str, names: Mapping[str, str]) -> dict[str, str]:
    words = [f"{key}={value}" for key, value in {**run.choices, **run.overrides}.items() if value]
    words += [f"name={run.name}", f"repetition={run.repetition}"]
    best = run.best
    return {
        "label": run.label,
        "status": state,
        "score": "" if best is None else f"{best.value:.3f}",
        "iteration": "" if best is None else f"{best.iteration}",
        "parameters": "" if best is None else best.label,
        "command": f"python -m dacapo.train {shlex.join(words)}",
        "labels": json.dumps([names[run.configuration]])
        if run.configuration in names
        else _NO_LABELS,
    }


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _known(value: float, otherwise: float) -> float:
    return value if np.isfinite(value) else otherwise


def _script(plain: Any) -> str:
    """Plain data as JavaScript, in which no text can end the script."""
    text = json.dumps(plain, allow_nan=False)
    escapes = {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
    for character, escape in escapes.items():
        text = text.replace(character, escape)
    return text


def _library() -> str:
    """Vega-Lite with all that it needs."""
    try:
        import vl_convert
    except ModuleNotFoundError as error:
        raise InputError(
            "report needs the package vl-convert-python: pip install 'dacapo[report]'"
        ) from error
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace(
        "</script", "<\\/script"
    )
