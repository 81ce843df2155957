"""The command `nova-gym play`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nova_gym.errors import BadInputError
from nova_gym.terminal import SeedOption, console, one_line_errors


@one_line_errors
def play(
    dream: Annotated[str, typer.Argument(help="Name of a shipped dream (minigrid) or path of a file.")] = "minigrid",
    agent: Annotated[
        str | None,
        typer.Option(help="Who drives on the key a: shipped agent (minigrid-ppo), or an SB3 zip that you trust."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of pictures and videos.")] = Path("."),
    video_format: Annotated[str, typer.Option(help="What the key r records: gif or mp4.")] = "gif",
    picture: Annotated[Path | None, typer.Option(help="Picture file to start from.")] = None,
    record: Annotated[Path | None, typer.Option(help="Keep the session there (.npz).")] = None,
    replay: Annotated[Path | None, typer.Option(help="Begin with a recorded session (.npz).")] = None,
    export_minari: Annotated[
        str | None, typer.Option(help="Write what reality did meanwhile to this Minari dataset.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width of the window, pixels.", min=300)] = 1000,
    seed: SeedOption = 0,
) -> None:
    """Walk through a dream with the keyboard; the key h shows all keys.

    Arrows walk, Tab shows reality beside the dream, Backspace goes back in time, + and - change the resolution.
    """
    from nova_gym.dream import Dream
    from nova_gym.envs.play.files import read_picture
    from nova_gym.envs.play.player import Player
    from nova_gym.envs.play.recorded import picture_event, read_recording
    from nova_gym.envs.play.session import PlaySession
    from nova_gym.envs.reality.recording import check_dataset_id

    loaded = Dream.load(dream)
    if export_minari:
        check_dataset_id(export_minari)
    script = []
    if replay and picture:
        raise BadInputError("--replay brings its own start: leave out --picture")
    if replay:
        seed, events, _ = read_recording(replay, loaded)
        script = events[1:]
    session = PlaySession(loaded, seed)
    if picture:
        session.do(picture_event(read_picture(picture, loaded)))
    player = Player(session, _policy(agent, loaded), output, (size, round(size * 0.76)), script, video_format)
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
    """Latents → action, sampled, of an agent; the shipped one where it is for this dream."""
    import torch

    from nova_gym.agents import agent_observation, load_agent
    from nova_gym.envs.adapter import observe

    if not dream.world_model.config.discrete:
        if agent:
            raise BadInputError("in the player an agent drives dreams with discrete actions only: leave out --agent")
        return None
    try:
        loaded = load_agent(agent or "minigrid-ppo", dream, device="cpu")
    except BadInputError:
        if agent:
            raise
        return None  # the shipped agent is for another dream; nobody asked for it
    kind = agent_observation(loaded, dream)
    return lambda latent: int(
        loaded.predict(observe(dream, torch.from_numpy(latent)[None], kind), deterministic=False)[0][0]
    )


def _export(session, dataset_id: str) -> None:
    from nova_gym.envs.reality.recording import write_dataset

    episodes = session.real_episodes()
    if not episodes:
        raise BadInputError(
            "nothing to export: reality took part in no step of this session, or on held-out layouts only"
        )
    write_dataset(dataset_id, episodes, session.dream)
    console.print(f"{sum(len(episode.actions) for episode in episodes)} real transitions in {dataset_id}")
