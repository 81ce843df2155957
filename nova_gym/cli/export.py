"""`nova-gym export` and `nova-gym web`."""

from __future__ import annotations

import contextlib
import re
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nova_gym.errors import BadInputError
from nova_gym.terminal import DreamArgument, SeedOption, console, one_line_errors, progress_bars

if TYPE_CHECKING:
    from nova_gym.dream import Dream
    from nova_gym.terminal import Bars
    from nova_gym.web import Level, Policy

#: Starts of each kind that a page holds of each further level.
STARTS = 24
#: Clips that a dream of video begins with, and frames of each that its control model hears.
CLIPS, HEARD = 8, 10

RealityOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Another level for the page's menu, as often as wanted. Default: those of the same kind, of several "
        "sizes, that show nothing the dream has never seen."
    ),
]
AgentOption = Annotated[
    str | None,
    typer.Option(
        help="Agent that can drive in the page: shipped (minigrid-ppo), or path of a file. Default: the shipped one, "
        "if it is for this dream."
    ),
]


@one_line_errors
def export(
    dream: DreamArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write, .html; with --onnx a folder.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX graphs instead of a page.")] = False,
    reality: RealityOption = None,
    agent: AgentOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    seed: SeedOption = 0,
) -> None:
    r"""Write a dream as one web page that needs no server and no Python, or as ONNX graphs.

    The page holds the dream's weights. It steps the dream in JavaScript, and a
    fragment shader evaluates each cell's network at every pixel of the screen, at
    any zoom. It opens from disk, on a phone too, and asks no network.

    --onnx writes a folder of graphs: start (states that episodes begin from),
    encode (frames to states), step (with rewards and endings) and render (frames
    of any size). They take any number of dreams, and fields of any size. It takes
    about a minute, and the extra: pip install 'nova-gym\[onnx]'.

    Examples:

    nova-gym export minigrid -o dream.html

    nova-gym export minigrid --onnx -o minigrid-onnx

    nova-gym export mine.safetensors -o mine.html --agent mine.policy.safetensors
    """
    if onnx:
        if reality or agent:
            raise BadInputError("--onnx takes neither --reality nor --agent: graphs hold the dream alone")
        return _export_onnx(dream, output, overwrite)
    size = _export(dream, output, reality, agent, overwrite, seed)
    console.print(f"{output}: {size / 2**20:.2f} MiB; any browser opens it", highlight=False, soft_wrap=True)


@one_line_errors
def web(
    dream: DreamArgument = "minigrid",
    reality: RealityOption = None,
    agent: AgentOption = None,
    seed: SeedOption = 0,
) -> None:
    """Open a dream in the browser: `nova-gym export` into a new folder for temporary files, and the page shown.

    Prints where the page lies; without a browser on this machine it can be opened
    on another.

    Examples:

    nova-gym web

    nova-gym web digits
    """
    output = Path(tempfile.mkdtemp(prefix="nova-gym-")) / f"{Path(dream).stem or 'dream'}.html"
    try:
        _export(dream, output, reality, agent, False, seed)
    except BaseException:
        output.parent.rmdir()  # it is empty: pages are written as a whole
        raise
    opened = webbrowser.open(output.as_uri())
    said = "" if opened else ": no browser was found here; open it in one"
    console.print(f"{output}{said}", highlight=False, soft_wrap=True)


def _export(dream: str, output: Path, reality: list[str] | None, agent: str | None, overwrite: bool, seed: int) -> int:
    from nova_gym.dream import Dream
    from nova_gym.web import check_page, write_page

    check_page(output, overwrite)  # before anything that takes long
    loaded = Dream.load(dream)
    policy = _policy(agent, loaded)
    with progress_bars() as bars:
        levels = [_own_level(loaded), *_levels(loaded, reality, seed, bars)]
    return write_page(output, loaded, levels, policy, _name(dream, loaded), overwrite)


def _export_onnx(dream: str, output: Path, overwrite: bool) -> None:
    from nova_gym.dream import Dream
    from nova_gym.export import export_onnx, left_out

    loaded = Dream.load(dream)
    with progress_bars() as bars:
        files = export_onnx(loaded, output, overwrite, bars)
    for file in files:
        console.print(f"{file}: {file.stat().st_size / 1e6:.2f} MB", highlight=False, soft_wrap=True)
    if missing := left_out(loaded):
        console.print(f"not exported: {', '.join(missing)}", highlight=False, soft_wrap=True)


def _name(named: str, dream: Dream) -> str:
    """What a page calls a dream: the name of one that ships, or its environment's without version, or the file's."""
    from nova_gym.dream import shipped_dreams

    if named in shipped_dreams():
        return named
    of = dream.card.env_id.rpartition(":")[2].rpartition("/")[2]
    return re.sub(r"-v\d+$", "", of) or Path(named).stem or "dream"


def _own_level(dream: Dream) -> Level:
    """Where the dream itself begins; that of video after some frames of its source, if this is at hand."""
    from nova_gym.data.loading import first_clips
    from nova_gym.web import clips_level, level_of

    model = dream.world_model
    if model.has_control and not model.has_actions:
        with contextlib.suppress(BadInputError):
            return clips_level(dream, first_clips(dream.card.data.get("dataset", ""), CLIPS, HEARD))
    return level_of(dream)


def _levels(dream: Dream, realities: list[str] | None, seed: int, bars: Bars) -> list[Level]:
    """Further levels: those asked for, or all that suit the dream."""
    from nova_gym.envs.reality.counterpart import dream_at, reality_of
    from nova_gym.envs.reality.unseen import what_is_unseen
    from nova_gym.web import level_of

    if realities is None and not dream.card.env_id:
        return []
    found, names = [], reality_of(dream).levels() if realities is None else dict.fromkeys(realities)
    for done, name in enumerate(names):
        bars("levels", done, len(names), name)
        try:
            there = dream_at(dream, name)
        except BadInputError:
            if realities is not None:
                raise
            continue  # one of the family that this dream cannot take: its actions are others
        if there is dream:
            continue
        if unseen := what_is_unseen(there, seed):
            if realities is None:
                continue
            console.print(unseen, highlight=False, soft_wrap=True)
        found.append(level_of(dream_at(there, None, starts=STARTS, seed=seed)))
    bars("levels", len(names), len(names))
    return found


def _policy(agent: str | None, dream: Dream) -> Policy | None:
    """The agent that was asked for; without a name the shipped one, None if that is for another dream."""
    from nova_gym.agents import load_agent, portable_policy, shipped_agents

    if agent is not None:
        return portable_policy(load_agent(agent, dream, device="cpu"), dream)
    for name in shipped_agents() if dream.world_model.has_discrete_actions else ():
        try:
            return portable_policy(load_agent(name, dream, device="cpu"), dream)
        except BadInputError:
            continue
    return None
