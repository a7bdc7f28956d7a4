"""Every error that a person can cause, each with the exit code of the command that it ends."""


class UsageError(Exception):
    """What was asked for makes no sense; ``str(error)`` is a sentence. Ends the program with exit code 2."""


class ResultsError(Exception):
    """Results cannot be written or read. ``str(error)`` is a sentence that says what to do."""


class LoadError(Exception):
    """The load could not be driven; ``str(error)`` is a sentence."""


class InUse(Exception):
    """What was to be stopped is used by a run. The message is a sentence for whoever asked for it."""


class StartFailed(Exception):
    """A server did not come up. The message is a sentence for whoever asked for it."""


class MissingServer(Exception):
    """A server that was asked for by name cannot be had; ``str(error)`` says why and what to type."""
