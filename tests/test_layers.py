"""A file imports only from its own layer and from those below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dacapo

ROOT = Path(dacapo.__file__).parent

LAYERS = [
    [
        "dacapo.errors",
        "dacapo.lazy",
        "dacapo.config",
        "dacapo.prefetch",
        "dacapo.memory",
        "dacapo.page",
        "dacapo.ranks",
        "dacapo.arrays",
        "dacapo.ops",
        "dacapo.nn",
    ],
    [
        "dacapo.experiments.arraytypes",
        "dacapo.experiments.datasplits",
        "dacapo.experiments.architectures",
    ],
    [
        "dacapo.experiments.halving_config",
        "dacapo.experiments.course",
        "dacapo.experiments.model",
        "dacapo.experiments.training_iteration_stats",
        "dacapo.experiments.training_stats",
        "dacapo.experiments.validation_iteration_scores",
        "dacapo.experiments.validation_scores",
    ],
    [
        "dacapo.experiments.tasks",
        "dacapo.experiments.trainers",
        "dacapo.experiments.starts",
        "dacapo.store",
    ],
    ["dacapo.experiments.run_config", "dacapo.experiments.learner", "dacapo.experiments.run"],
    [
        "dacapo.predict",
        "dacapo.validate",
        "dacapo.collect",
        "dacapo.report",
        "dacapo.picture",
        "dacapo.profiling",
        "dacapo.remarks",
        "dacapo.resume",
        "dacapo.watch",
        "dacapo.interrupts",
        "dacapo.halving",
        "dacapo.ledger",
    ],
    [
        "dacapo.help",
        "dacapo.held_out",
        "dacapo.inspect",
        "dacapo.preview",
        "dacapo.view",
        "dacapo.compare",
        "dacapo.convert",
        "dacapo.score",
        "dacapo.launch",
        "dacapo.launch_local",
        "dacapo.launch_slurm",
        "dacapo.launcher_config",
        "dacapo.status",
        "dacapo.sweep",
        "dacapo.train",
    ],
]
NEUTRAL = {"dacapo", "dacapo.experiments"}  # the version, and the lazy names


def layer(module: str) -> int | None:
    if module in NEUTRAL:
        return None
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return number
    raise AssertionError(f"{module} is in no layer: add it to LAYERS")


def imports(tree: ast.AST) -> set[str]:
    """Modules imported anywhere, but not under TYPE_CHECKING."""
    found: set[str] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        stack += ast.iter_child_nodes(node)
    return {name for name in found if name.split(".")[0] == "dacapo"}


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    own = layer(module)
    if own is None:
        return
    for imported in imports(ast.parse(path.read_text())):
        other = layer(imported)
        assert other is None or other <= own, f"{module} (layer {own}) imports {imported} ({other})"


def test_a_wrong_import_is_seen() -> None:
    tree = ast.parse("def f():\n    from dacapo.train import main")
    assert imports(tree) == {"dacapo.train"}
    assert layer("dacapo.train") > layer("dacapo.experiments.run")  # type: ignore[operator]
