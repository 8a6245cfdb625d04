"""The exception for errors that the user can correct."""


class InputError(ValueError):
    """A user error: something is wrong with a config, a file or a folder.

    The message says what was wrong, where, the value, and the key to change. The command line shows
    it without a traceback; every other exception is a bug and keeps its traceback.
    """
