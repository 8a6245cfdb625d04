"""A file imports only from its own layer and from those below it, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dacapo

ROOT = Path(dacapo.__file__).parent

LAYERS = [
    ["dacapo.config", "dacapo.errors", "dacapo.ops", "dacapo.processes", "dacapo.experiments.lazy"],
    ["dacapo.arrays", "dacapo.nn", "dacapo.public_data"],
    [
        "dacapo.experiments.arraytypes",
        "dacapo.experiments.datasplits",
        "dacapo.experiments.architectures",
    ],
    [
        "dacapo.experiments.criterion_history",
        "dacapo.experiments.score_table",
        "dacapo.experiments.halving_config",
        "dacapo.experiments.model",
        "dacapo.experiments.training_iteration_stats",
        "dacapo.experiments.training_stats",
        "dacapo.experiments.validation_iteration_scores",
        "dacapo.experiments.validation_scores",
    ],
    ["dacapo.experiments.tasks", "dacapo.experiments.trainers", "dacapo.experiments.starts"],
    [
        "dacapo.experiments.fit",
        "dacapo.experiments.preflight",
        "dacapo.experiments.run",
        "dacapo.experiments.run_config",
        "dacapo.experiments.train_state",
    ],
    ["dacapo.runs"],
    ["dacapo.launching"],
    ["dacapo.figures", "dacapo.inference", "dacapo.training"],
    ["dacapo.comparison", "dacapo.planning", "dacapo.sweeps"],
    [
        "dacapo.__main__",
        "dacapo.cli",
        "dacapo.compare",
        "dacapo.convert",
        "dacapo.explain",
        "dacapo.export",
        "dacapo.download",
        "dacapo.inspect",
        "dacapo.new",
        "dacapo.predict",
        "dacapo.preview",
        "dacapo.score",
        "dacapo.segment",
        "dacapo.remove",
        "dacapo.status",
        "dacapo.train",
        "dacapo.validate",
        "dacapo.verify",
        "dacapo.view",
    ],
]
NEUTRAL = {"dacapo", "dacapo.experiments"}  # the version, and the lazy names
SHARED = {"config.py", "errors.py", "cli.py", "__init__.py"}

FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


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
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
        stack += ast.iter_child_nodes(node)
    return {name for name in found if name.split(".")[0] == "dacapo"}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every circle that a walk along the imports meets."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for other in sorted(graph.get(module, ())):
                walk(other, [*path, module])
            done.add(module)

    for module in graph:
        walk(module, [])
    return found


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down(module: str) -> None:
    own = layer(module)
    if own is None:
        return
    for imported in imports(ast.parse(FILES[module].read_text())):
        other = layer(imported)
        assert other is None or other <= own, f"{module} (layer {own}) imports {imported} ({other})"


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {
        module: imports(ast.parse(path.read_text())) - {module}  # a command runs under its name
        for module, path in FILES.items()
    }
    assert circles(graph) == []


def test_a_file_at_the_top_is_a_command_or_shared_by_all() -> None:
    for path in ROOT.glob("*.py"):
        if path.name not in SHARED:
            text = path.read_text()
            assert "def main() -> None:" in text, f"{path.name} is no command"
            assert 'if __name__ == "__main__":' in text, f"{path.name} is no command"


def test_a_wrong_import_and_a_circle_are_seen() -> None:
    tree = ast.parse("def f():\n    from dacapo.train import main")
    assert imports(tree) == {"dacapo.train"}
    assert layer("dacapo.train") > layer("dacapo.experiments.run")  # type: ignore[operator]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]
