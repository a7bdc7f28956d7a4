"""What a person has asked for that cannot be."""


class UsageError(Exception):
    """What was asked for makes no sense; ``str(error)`` is a sentence. Ends the program with exit code 2."""
