"""The errors a user can cause; the command line turns each into one line and exit code 2."""


class BadInputError(ValueError):
    """An argument, option or file cannot be used; the message says what is wrong and what is accepted.

    The message is one line, also where it quotes what another library said in many.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class DreamFileError(BadInputError):
    """A file is not a dream that this version can read."""


class AgentFileError(BadInputError):
    """A file is not an agent that this version can read."""
