"""The errors a user can cause; the command line turns each into one line and exit code 2."""


class BadInputError(ValueError):
    """An argument, option or file cannot be used; the message says what is wrong and what is accepted."""


class DreamFileError(BadInputError):
    """A file is not a dream that this version can read."""


class AgentFileError(BadInputError):
    """A file is not an agent that this version can read."""
