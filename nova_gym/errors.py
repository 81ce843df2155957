"""The errors a user can cause; the command line turns each into one line and exit code 2."""

from importlib.util import find_spec

#: Characters of a message at most.
LONGEST = 900


class BadInputError(ValueError):
    """An argument, option or file cannot be used; the message says what is wrong and what is accepted.

    The message is one line that ends, also where it quotes what another library said in many, or a word without end.
    """

    def __str__(self) -> str:
        line = " ".join(super().__str__().split())
        return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 3 :]}"


class DreamFileError(BadInputError):
    """A file is not a dream that this version can read."""


class AgentFileError(BadInputError):
    """A file is not an agent that this version can read."""


def needs_package(name: str, what: str, extra: str) -> None:
    """Checks that an optional package is installed.

    Args:
        name: as it is imported.
        what: that needs it, for the message.
        extra: of `nova-gym` that installs it.

    Raises:
        BadInputError: it is not.
    """
    if find_spec(name) is None:
        raise BadInputError(f"{what} need the package {name}: pip install 'nova-gym[{extra}]'")
