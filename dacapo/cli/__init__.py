"""What the commands share: arguments, `--help`, and errors of one line."""

from dacapo.cli.command_line import CommandLine, parse
from dacapo.cli.commands import from_arguments, one_line_errors, run_command, split_arguments
from dacapo.cli.composing import check_first_job, compose_train, explained
from dacapo.cli.help import describe, field_docs, print_help

__all__ = [
    "CommandLine",
    "check_first_job",
    "compose_train",
    "describe",
    "explained",
    "field_docs",
    "from_arguments",
    "one_line_errors",
    "parse",
    "print_help",
    "run_command",
    "split_arguments",
]
