"""The command `nova-gym play`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nova_gym.errors import BadInputError
from nova_gym.terminal import SeedOption, console, one_line_errors


@one_line_errors
def play(
    dream: Annotated[
        str,
        typer.Argument(
            help="Shipped dream (minigrid, frozen-lake, cart-pole or digits), path of a dream file, or hf://user/name."
        ),
    ] = "minigrid",
    reality: Annotated[
        str | None,
        typer.Option(
            help="Gymnasium id of another environment of the same kind to dream of; default: the dream's own."
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            help="Agent that the key a lets drive: shipped (minigrid-ppo), or path of an SB3 zip that you trust."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to save pictures and videos in.")] = Path("."),
    video_format: Annotated[str, typer.Option(help="Format of the videos that the key r records: gif or mp4.")] = "gif",
    picture: Annotated[
        Path | None, typer.Option(help="Picture file to start from; it is resized to the dream's frames.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Write the session to this file (.npz), for --replay.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Replay a session that --record wrote, then play on.")] = None,
    export_minari: Annotated[
        str | None, typer.Option(help="Write the real episodes beside the dream to a new Minari dataset of this id.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width of the window in pixels.", min=300, max=16_384)] = 1000,
    seed: SeedOption = 0,
) -> None:
    """Walk through a dream with the keyboard, in a window.

    Arrows walk, Tab shows reality beside the dream, Backspace goes one step back,
    + and - change the resolution, s saves a picture, r records a video, Esc
    leaves. The key h shows all keys. It needs a display.

    Examples:

    nova-gym play

    nova-gym play --reality MiniGrid-FourRooms-v0

    nova-gym play mine.safetensors --output pictures --record session.npz
    """
    from nova_gym.dream import Dream
    from nova_gym.envs.play.files import read_picture
    from nova_gym.envs.play.player import Player
    from nova_gym.envs.play.recorded import picture_event, read_recording
    from nova_gym.envs.play.session import PlaySession
    from nova_gym.envs.reality.counterpart import dream_at
    from nova_gym.envs.reality.recording import check_dataset_id
    from nova_gym.envs.reality.unseen import what_is_unseen

    loaded = Dream.load(dream)
    if export_minari:
        check_dataset_id(export_minari)
    script = []
    if replay and picture:
        raise BadInputError("a replay has its own start: leave out --picture")
    if replay and reality:
        raise BadInputError("a replay has its own reality: leave out --reality")
    if replay:
        recording = read_recording(replay, loaded)
        seed, reality, script = recording.seed, recording.reality, recording.events[1:]
    own, loaded = loaded, dream_at(loaded, reality)
    session = PlaySession(loaded, seed)
    if picture:
        session.do(picture_event(read_picture(picture, loaded)))
    player = Player(session, _policy(agent, loaded), output, (size, round(size * 0.76)), script, video_format)
    if loaded is not own and (unseen := what_is_unseen(loaded)):
        console.print(unseen)
        player.message = unseen
    print("the window is open: h shows the keys, Esc leaves", flush=True)
    try:
        player.run()
    finally:
        if record:
            session.save(record)
            console.print(f"{len(session.events)} events in {record}; nova-gym play --replay {record} plays them again")
    if export_minari:
        _export(session, export_minari)


def _policy(agent: str | None, dream):
    """A function from latents (K, rows, cols) float32 to an action that the agent draws.

    Without a name it is the shipped agent, or None if that is for another dream.
    """
    import torch

    from nova_gym.agents import agent_observation, load_agent
    from nova_gym.envs.adapter import observe

    if not dream.world_model.config.discrete:
        if agent:
            raise BadInputError("an agent can only drive dreams with discrete actions in the player: leave out --agent")
        return None
    try:
        loaded = load_agent(agent or "minigrid-ppo", dream, device="cpu")
    except BadInputError:
        if agent:
            raise
        return None  # the shipped agent is for another dream, and --agent was not given
    kind = agent_observation(loaded, dream)
    return lambda latent: int(
        loaded.predict(observe(dream, torch.from_numpy(latent)[None], kind), deterministic=False)[0][0]
    )


def _export(session, dataset_id: str) -> None:
    from nova_gym.envs.reality.recording import write_dataset

    episodes = session.real_episodes()
    if not episodes:
        raise BadInputError(
            "nothing to export: reality followed no step of this session, or only steps on held-out layouts"
        )
    write_dataset(dataset_id, episodes, session.dream)
    console.print(f"{sum(len(episode.actions) for episode in episodes)} real transitions in {dataset_id}")
