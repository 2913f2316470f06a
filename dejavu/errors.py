"""Errors that are the user's to mend; the command line prints them without a traceback."""


class DejaVuError(Exception):
    """Base of every error that a message can explain: what is wrong, where, and what to do."""


class ParamsError(DejaVuError):
    """The params file is wrong: the message names the key and the fix."""


class DataError(DejaVuError):
    """Prepared data is missing, damaged, or not what the params describe."""


class CheckpointError(DejaVuError):
    """A checkpoint is missing, truncated, foreign, or of another run than asked for."""
