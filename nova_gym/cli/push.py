"""The command `nova-gym push`."""

from __future__ import annotations

from typing import Annotated

import typer

from nova_gym.terminal import DreamArgument, console, one_line_errors


@one_line_errors
def push(
    dream: DreamArgument,
    repository: Annotated[str, typer.Argument(help="user/name on the hub; it is made if need be.")],
    licence: Annotated[
        str, typer.Option(help="Licence of the dream, by the hub's name for it: mit, cc-by-4.0 …")
    ] = "mit",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch that exists; default the main one.")] = None,
) -> None:
    r"""Publish a dream on the Hugging Face hub, with a model card and a film.

    The card has the scores that `nova-gym eval --write-card` kept. Whoever has
    nova-gym can then write hf://USER/NAME wherever a dream is named.

    Log in with `hf auth login`, or set HF_TOKEN. It takes seconds, and the extra:
    pip install 'nova-gym\[hub]'.

    Example:

    nova-gym push mine.safetensors me/my-dream
    """
    from nova_gym.dream import Dream

    console.print(
        Dream.load(dream).push_to_hub(repository, licence, private, revision), highlight=False, soft_wrap=True
    )
