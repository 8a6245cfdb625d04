"""`dacapo COMMAND ...`: all commands behind one name, as `python -m dacapo.COMMAND ...`."""

from __future__ import annotations

import sys
from importlib import import_module

from dacapo.errors import did_you_mean


def main() -> None:
    """Run the command that the first argument names."""
    from dacapo.cli.completion import command_names, complete, script, summaries

    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        width = max(map(len, command_names())) + 2
        lines = [f"  {command:{width}}{text}" for command, text in summaries()]
        print("\n".join(["dacapo COMMAND [key=value ...]", "", *lines, "", _AFTER]))
    elif name == "--version":
        from dacapo import __version__

        print(__version__)
    elif name == "--completion":
        print(script(arguments[0] if arguments else "bash"))
    elif name == "--complete":
        print("\n".join(complete(" ".join(arguments))))
    elif name not in command_names():
        hint = did_you_mean(name, command_names())
        sys.stderr.write(f"error: there is no command {name}{hint}; dacapo --help lists them\n")
        raise SystemExit(1)
    else:
        sys.argv = [f"dacapo {name}", *arguments]
        import_module(f"dacapo.{name}").main()


_AFTER = """\
dacapo COMMAND --help describes the keys of a command.
Tab completion: eval "$(dacapo --completion bash)", or zsh, or fish, in the shell's start file."""

if __name__ == "__main__":
    main()
