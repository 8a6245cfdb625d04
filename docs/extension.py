"""For Sphinx: a page of all keys, made of the dataclasses themselves, and our docstrings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from omegaconf import DictConfig, OmegaConf
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import dacapo.experiments.run_config  # noqa: F401  (its classes are those of the groups)
from dacapo.cli import compose_train, field_docs, parse
from dacapo.config import ranges
from dacapo.errors import InputError

GROUPS = {
    "task": "task", "task/post_processor": "task.post_processor", "architecture": "architecture",
    "trainer": "trainer", "trainer/augments": "trainer.augments", "datasplit": "datasplit",
    "start": "start", "halving": "halving",
}  # fmt: skip
_SEPARATE = {"task.post_processor", "trainer.augments"}
"""Groups within groups."""
_NEEDS = {
    "argmax": ["task=one_hot", "task.classes={a: [1]}"],
    "threshold": ["task=one_hot", "task.classes={a: [1]}"],
    "watershed": ["task=boundary"],
    "components": ["task=boundary"],
}
"""The task that a post-processor is for."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("keys", Keys)
    # Before napoleon, which reads their sections.
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
    return {"parallel_read_safe": True}


def as_restructured_text(
    app: Sphinx, what: str, name: str, object_: object, options: object, lines: list[str]
) -> None:
    """Code stands between single backticks in our docstrings, and a * is a *."""
    for number, line in enumerate(lines):
        plain = line.replace("*", r"\*")
        if what in ("attribute", "property"):  # napoleon takes what precedes a colon for a type
            plain = plain.replace(": ", " – ")
        plain = re.sub(r"(?<=[A-Za-z])_(?!\w)", r"\_", plain)
        lines[number] = re.sub(r"`([^`]+)`", lambda m: f"``{m[1]}``".replace("\\", ""), plain)


class Keys(SphinxDirective):
    """All keys of the groups."""

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = self.parse_text_to_nodes(page(), allow_section_headings=True)
        return found


def page() -> str:
    """The keys as Markdown."""
    lines = ["## A run\n", *_table(_rows(compose_train([]), "", is_root=True))]
    for group, key in GROUPS.items():
        lines.append(f"\n## {group}\n")
        for option in parse([]).options(group):
            lines += [f"\n### {group}={option}\n", *_option(group, key, option)]
    return "\n".join(lines) + "\n"


def _option(group: str, key: str, option: str) -> list[str]:
    is_list = group == "trainer/augments"
    chosen = f"{group}=[{option}]" if is_list else f"{group}={option}"
    try:
        node: Any = compose_train([*_NEEDS.get(option, ()), chosen])
    except InputError as error:
        return [str(error)]
    key = f"{key}.{option}" if is_list else key
    for part in key.split("."):
        node = node[part]
    text = " ".join((OmegaConf.get_type(node).__doc__ or "").split())
    return [text, "", *_table(_rows(node, f"{key}."))]


def _table(rows: Iterator[tuple[str, ...]]) -> list[str]:
    cells = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return [*head, *(f"| {row} |" for row in cells)]


def _rows(node: DictConfig, prefix: str, is_root: bool = False) -> Iterator[tuple[str, ...]]:
    cls = OmegaConf.get_type(node)
    types = {f.name: str(f.type) for f in dataclasses.fields(cls)}
    docs, limits = field_docs(cls), ranges(cls)
    plain: Any = OmegaConf.to_container(node, resolve=False, enum_to_str=True)
    for key in map(str, node):
        inner: Any = node._get_node(key)
        is_empty = not isinstance(inner, DictConfig) or inner._is_none() or inner._is_missing()
        if not is_empty and dataclasses.is_dataclass(OmegaConf.get_type(inner)):
            if not is_root and f"{prefix}{key}" not in _SEPARATE:
                yield from _rows(inner, f"{prefix}{key}.")
            continue
        if f"{prefix}{key}" in _SEPARATE:
            continue
        value = plain[key]
        text = docs.get(key, "")
        if key in limits:
            text = f"{text} ({limits[key][0]})"
        shown = "required" if value == "???" else f"`{'null' if value is None else value}`"
        yield f"`{prefix}{key}`", types.get(key, ""), shown, text
