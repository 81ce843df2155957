"""The command `nova-gym edit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nova_gym.errors import BadInputError
from nova_gym.terminal import COUNT, LARGEST, NUMBER, SeedOption, console, one_line_errors

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from nova_gym.dream import Dream

#: The clips of each mode: first the one that is rolled out, then those that it is edited with.
MODES = {
    "content": ("motion", "content"),
    "motion": ("content", "motion"),
    "both": ("clip", "content", "motion"),
    "interpolate": ("content", "motion"),
    "layers": ("clip",),
}
_SOURCE = "seed of a real episode, or file (.gif, .mp4, .npz with frames (T, H, W, C) uint8)"


@one_line_errors
def edit(
    mode: Annotated[str, typer.Argument(help=f"One of {', '.join(MODES)}.")],
    dream: Annotated[
        str,
        typer.Option(
            help="Shipped dream (minigrid, frozen-lake, cart-pole or digits), path of a dream file, or hf://user/name."
        ),
    ] = "minigrid",
    reality: Annotated[
        str | None,
        typer.Option(help="Gymnasium id of another environment of the same kind for the real episodes."),
    ] = None,
    content: Annotated[
        str | None, typer.Option(help=f"Content clip: {_SOURCE}, of a size that divides into the dream's cells.")
    ] = None,
    motion: Annotated[str | None, typer.Option(help="Motion clip: seed or file, as --content.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="Clip that both and layers edit: seed or file, as --content.")
    ] = None,
    at: Annotated[int, typer.Option(help="Step of the intervention, counted from 0.", **NUMBER)] = 4,
    over: Annotated[int, typer.Option(help="For interpolate: steps from one motion to the other.", **COUNT)] = 4,
    steps: Annotated[int, typer.Option(help="Length of real episodes, in steps.", **COUNT)] = 10,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Path of the two pictures without their ending; default edit-MODE."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing pictures.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Edit clips in the dream: give one clip's content another's motion, or show layers.

    \b
    content      the motion clip; at step --at, the content clip's frame goes in
    motion       the content clip; from step --at on, moved by the motion clip
    both         --clip; from step --at on, with the content and motion of others
    interpolate  as motion, but blending from one motion to the other
    layers       each frame of --clip as background, content A(z), motion B(u)

    Clips that are not given are real episodes: --seed makes the content clip, the
    next seed the motion clip, the one after that --clip. Longer clips are cut to
    the shortest; all must have one frame size. An edited agent goes where it is
    in the motion clip; if the content has a wall there, the picture mixes both.

    It takes seconds. Writes a film (.gif) and a picture of all frames in rows
    (.png).

    Example:

    nova-gym edit motion --content 1 --motion 2 -o pictures/retargeted
    """
    from nova_gym.dream import Dream
    from nova_gym.envs.reality.counterpart import dream_at
    from nova_gym.pictures import film, save_gif, save_png, strip

    if mode not in MODES:
        raise BadInputError(f"unknown mode {mode!r}; there are {', '.join(MODES)}")
    given = {"content": content, "motion": motion, "clip": clip}
    for name, source in given.items():
        if source is not None and name not in MODES[mode]:
            raise BadInputError(f"mode {mode} has no --{name}; it takes {', '.join(f'--{n}' for n in MODES[mode])}")
    targets = _targets(output or Path(f"edit-{mode}"), overwrite)
    loaded = dream_at(Dream.load(dream), reality)
    defaults = dict(zip(given, range(seed, seed + 3), strict=True))
    clips = {name: _frames(given[name] or str(defaults[name]), loaded, steps) for name in MODES[mode]}
    _check_sizes(clips)
    length = min(len(frames) for frames in clips.values())
    clips = {name: frames[:length] for name, frames in clips.items()}
    rows = _layers(loaded, clips["clip"]) if mode == "layers" else _edited(loaded, mode, clips, at, over)
    save_gif(targets[0], film(rows, enlarge=3))
    columns = [f"{t} edit" if t == at and mode != "layers" else str(t) for t in range(length)]
    save_png(targets[1], strip(rows, columns[1:] if mode == "layers" else columns, enlarge=2))
    console.print(f"{targets[0]}\n{targets[1]}", soft_wrap=True)


def _targets(stem: Path, overwrite: bool) -> tuple[Path, Path]:
    """Paths of the film and of the picture of rows."""
    name = stem.name.removesuffix(".gif").removesuffix(".png")
    if not name.strip("."):
        raise BadInputError(f"--output {stem} is not the name of a file")
    targets = stem.with_name(f"{name}.gif"), stem.with_name(f"{name}.png")
    for target in targets:
        if target.exists() and not overwrite:
            raise BadInputError(f"{target} exists; --overwrite replaces it")
    return targets


def _frames(source: str, dream: Dream, steps: int) -> np.ndarray:
    from nova_gym.envs.reality.clips import read_clip, real_clip

    if source.isdecimal() and len(source) <= len(str(LARGEST)):
        return real_clip(dream, int(source), steps)
    return read_clip(Path(source), dream)


def _check_sizes(clips: dict[str, np.ndarray]) -> None:
    sizes = {name: f"{frames.shape[1]}×{frames.shape[2]}" for name, frames in clips.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise BadInputError(f"the clips must have frames of one size, not {said} (height×width)")


def _edited(dream: Dream, mode: str, clips: dict[str, np.ndarray], at: int, over: int) -> dict[str, np.ndarray]:
    """Rows of the picture: the clips, and the edited clip below them."""
    from nova_gym.editing import Intervention, infer_actions
    from nova_gym.editing import edit as edit_clips

    model = dream.world_model
    states = {name: _encode(dream, frames) for name, frames in clips.items()}
    length = next(iter(states.values())).shape[1]
    if at >= length - 1:
        raise BadInputError(f"--at {at} is beyond the clips: the shortest has {length - 1} steps, from 0 on")
    _, *donors = MODES[mode]
    intervention = Intervention(
        step=at,
        content=states["content"][:, at] if "content" in donors else None,
        motion=infer_actions(model, states["motion"])[:, at:] if "motion" in donors else None,
        over=over if mode == "interpolate" else 1,
    )
    edited = edit_clips(model, states[MODES[mode][0]], [intervention], dream.card.dead_band)
    labels = {"clip": "clip", "content": "content clip", "motion": "motion clip"}
    rows = {label: clips[name] for name, label in labels.items() if name in clips}
    return {**rows, "edited": _render(dream, edited)}


def _layers(dream: Dream, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of the picture: the frames after the first, and the layers that they consist of."""
    from nova_gym.editing import LAYERS, infer_actions, layer

    model, states = dream.world_model, _encode(dream, frames)
    before, latent_actions = states[0, :-1], infer_actions(model, states)[0]
    rows = {name: _render(dream, layer(model, name, before, latent_actions)[None]) for name in LAYERS}
    return {"clip": frames[1:], **rows, "content + motion": _render(dream, model.step(before, latent_actions)[None])}


def _encode(dream: Dream, frames: np.ndarray) -> Tensor:
    """(T, H, W, C) uint8 → (1, T, K, rows, cols)."""
    from nova_gym.envs.frames import encode_frames

    return encode_frames(dream, frames)[None]


def _render(dream: Dream, states: Tensor) -> np.ndarray:
    """(1, T, K, rows, cols) → (T, H, W, C) uint8."""
    return dream.world_model.render(states[0], as_bytes=True).numpy()
