"""The one exception that means: the user can mend this."""


class InputError(ValueError):
    """A mistake in what a user gave us: a config, a file, a folder.

    The message says what was wrong, where, the value, and the key to change. The command line
    shows it without a traceback; every other exception is ours and keeps its traceback.
    """
