"""Lines of code per package, without blanks, comments and docstrings."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections import defaultdict
from pathlib import Path

_LAYOUT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def num_lines(text: str) -> int:
    """Of one file."""
    docs: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _LAYOUT
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - docs)


def main() -> None:
    listed = ["git", "ls-files", "dacapo/*.py", "hydra_plugins/*.py"]
    files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    rooms: dict[str, list[int]] = defaultdict(list)
    for file in files:
        parts = Path(file).parts
        room = "/".join(parts[:3] if parts[1] == "experiments" else parts[:2])
        rooms[room if not room.endswith(".py") else f"{parts[0]}/*.py"].append(
            num_lines(Path(file).read_text())
        )
    for room, counts in sorted(rooms.items()):
        print(f"{room:40} {len(counts):4} files {sum(counts):6} lines")
    every = [n for counts in rooms.values() for n in counts]
    print(f"{'all':40} {len(every):4} files {sum(every):6} lines")


if __name__ == "__main__":
    main()
