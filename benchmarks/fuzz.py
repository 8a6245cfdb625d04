"""Type mistakes into every command, and see that each gets one clear answer.

The commands of the table of mistakes are changed at random: letters, values, arguments. An answer
is wrong if it holds a traceback, takes too long, or kills the process.

    python benchmarks/fuzz.py [num=500] [seed=0]
"""

from __future__ import annotations

import random
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mistakes import answer, make_data, read_table

ASKED = {"num": "500", "seed": "0"}
VALUES = [
    "", "-1", "0", "1e400", "nan", "-inf", "null", "true", "[]", "{}", "[", "}", "[1,2",
    "[[1],[2,3]]", "{a: {b: 1}}", "99999999999999999999", "0.1.2", "ü", "a b", "'", '"', "\\",
    "${a}", "${oc.env:HOME}", "$(ls)", "../..", "/", "/dev/null", "~", "a/b/c", "vol.h5",
    "vol.h5:", ":raw", "text.h5:raw", "*", "a" * 300, "range(3)", "choice(1,2)", "1,2",
    "!!python/object:os.system", "@", "%s", "\t",
]  # fmt: skip


def mutated(command: str, others: list[str], rng: random.Random) -> str:
    """The command with one to three changes."""
    name, *arguments = shlex.split(command)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(arguments)) if arguments else 0
        change = rng.choice(["letter", "value", "value", "drop", "twice", "add", "key", "name"])
        if change == "add" or not arguments:
            arguments += shlex.split(rng.choice(others))[1:][:1]
        elif change == "drop":
            del arguments[at]
        elif change == "twice":
            arguments.append(arguments[at])
        elif change == "value":
            arguments[at] = f"{arguments[at].partition('=')[0]}={rng.choice(VALUES)}"
        elif change == "key":
            key, equals, value = arguments[at].partition("=")
            arguments[at] = f"{key}.{rng.choice(['a', '0', ''])}{equals}{value}"
        elif change == "name":
            name = shlex.split(rng.choice(others))[0]
        else:
            text = list(arguments[at])
            text.insert(rng.randrange(len(text) + 1), rng.choice("=.,[]{}:'\"/-~+ aé0"))
            arguments[at] = "".join(text)
    return shlex.join([name, *arguments])


def main() -> None:
    given = ASKED | dict(argument.split("=", 1) for argument in sys.argv[1:])
    rng = random.Random(int(given["seed"]))
    corpus = [m.command for m in read_table() if "LONG" not in m.command]
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as made:
        data = Path(made)
        make_data(data)
        for _ in range(int(given["num"])):
            command = mutated(rng.choice(corpus), corpus, rng)
            try:
                got, _, printed = answer(command, data)
            except TimeoutError:
                found["too slow"] += 1
                print("TOO SLOW", command, flush=True)
                continue
            if "Traceback" in printed or "process died" in printed or got.status not in (0, 1):
                found["wrong"] += 1
                print("WRONG", got.status, command, printed[-600:], sep="\n", flush=True)
            else:
                found[f"status {got.status}"] += 1
    print(dict(found))


if __name__ == "__main__":
    main()
