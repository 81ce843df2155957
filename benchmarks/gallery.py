"""Draws `docs/gallery.md`, a page of pictures, one for each thing that a dream can do.

`python -m nova_gym.benchmarks.gallery [--output PAGE]` draws all pictures and writes the page. To add a picture, add an
`Exhibit` to `EXHIBITS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nova_gym import Dream
from nova_gym.benchmarks.disentanglement import AT, Pairs, find_pairs
from nova_gym.benchmarks.gallery_generation import digits_go_on, goes_on_by_itself, learned_actions, other_levels
from nova_gym.benchmarks.super_resolution import FILTERS, MASKED, render, renderers, upsample
from nova_gym.editing import LAYERS, Intervention, edit, infer_actions, layer
from nova_gym.envs.frames import encode_frames
from nova_gym.envs.reality.scenes import scenes_of_a_kind
from nova_gym.files import write_text
from nova_gym.pictures import film, save_gif, save_png, strip

_FACTOR = 8
#: Side in pixels of the part of an enlarged frame that is shown.
_CROP = 28 * _FACTOR
_SEED = 4


@dataclass(frozen=True)
class Exhibit:
    """One entry of the page.

    Attributes:
        title: of its section.
        caption: Markdown, what the pictures show. Numbers belong in `benchmarks/results`.
        draw: called with a folder; writes pictures there and returns the names of their files, in order.
    """

    title: str
    caption: str
    draw: Callable[[Path], list[str]]


def super_resolution(folder: Path) -> list[str]:
    """The same corner of two scenes: enlarged by filters, rendered, and drawn by MiniGrid itself."""
    dream = Dream.load("minigrid")
    drawn = scenes_of_a_kind(dream, "official", 2, (1, _FACTOR), _SEED)
    size, states = drawn[_FACTOR].shape[1:3], encode_frames(dream, drawn[1])
    pictures = [upsample(drawn[1], _FACTOR, FILTERS[name]) for name in ("nearest", "bicubic")]
    ways = [way for way in renderers(dream) if way != MASKED]
    pictures += [render(dream, states, size, way) for way in ways]
    pictures += [drawn[_FACTOR]]
    corners = [_around_agent(frame) for frame in drawn[1]]
    rows = {
        f"scene {i + 1}": np.stack([p[i, y : y + _CROP, x : x + _CROP] for p in pictures])
        for i, (y, x) in enumerate(corners)
    }
    columns = ("nearest ×8", "bicubic ×8", *ways, "MiniGrid ×8")
    save_png(folder / "super-resolution.png", strip(rows, columns))
    return ["super-resolution.png"]


def layers(folder: Path) -> list[str]:
    """Each frame of a clip, split into background, content and motion."""
    dream, pairs = _pair()
    model, states = dream.world_model, encode_frames(dream, pairs.motion[1])
    before, latent_actions = states[:-1], infer_actions(model, states[None])[0]
    rows = {"clip": pairs.motion[1, 1:]}
    rows |= {name: _render(dream, layer(model, name, before, latent_actions)) for name in LAYERS}
    rows["content + motion"] = _render(dream, model.step(before, latent_actions))
    save_png(folder / "layers.png", strip(rows, [str(t + 1) for t in range(len(before))], enlarge=2))
    return ["layers.png"]


def content_retargeting(folder: Path) -> list[str]:
    """The motion clip, rolled out; its content replaced half-way."""
    return _retarget(
        folder, "content-retargeting", "motion", lambda content, _: Intervention(AT, content=content[:, AT])
    )


def motion_retargeting(folder: Path) -> list[str]:
    """The content clip, rolled out; moved as the motion clip from half-way on."""
    return _retarget(folder, "motion-retargeting", "content", lambda _, motion: Intervention(AT, motion=motion[:, AT:]))


def interpolation(folder: Path) -> list[str]:
    """Motion retargeting that blends the latent actions over four steps."""
    return _retarget(
        folder, "interpolation", "content", lambda _, motion: Intervention(AT, motion=motion[:, AT:], over=4)
    )


EXHIBITS = (
    Exhibit(
        "Levels that it never saw",
        "One dream, on two official levels of MiniGrid; its recording holds no official layout, and no grid as large "
        "as the second. The dream is given the first frame, then actions alone, drawn at random. "
        '`gymnasium.make("NovaDream-MiniGrid-v0", reality="MiniGrid-FourRooms-v0")`. Figures: '
        "[eval-minigrid.json](../benchmarks/results/eval-minigrid.json), by `nova-gym eval`.",
        other_levels,
    ),
    Exhibit(
        "Super-resolution",
        "A frame of 72×72 pixels is encoded and drawn at 576×576, around the agent: enlarged by filters; by the "
        "weights, which learned from such frames alone; by the weights for detail, where `nova-gym sharpen` gave the "
        "dream some; and the same scene as MiniGrid itself draws it at that size. At 72×72 a grid line is a quarter "
        "of a pixel wide, so a frame of that size cannot tell where in the pixel it lies. Figures: "
        "[super-resolution.json](../benchmarks/results/super-resolution.json), by `python -m "
        "nova_gym.benchmarks.super_resolution`.",
        super_resolution,
    ),
    Exhibit(
        "Layers",
        "A step is `A(z) + B(u)` in each cell, and each of the two can be rendered by itself. The background is the "
        "base weights alone, in every cell: what all cells have in common. The content is where things are, without "
        "the agent; the motion is the agent, without any layout. `nova-gym edit layers`.",
        layers,
    ),
    Exhibit(
        "Content retargeting",
        f"The motion clip is rolled out; at step {AT} its state is replaced by the content clip's frame, its latent "
        "actions stay. Latent actions say where to go, so in one or two steps the agent is where the motion clip has "
        "it, in the other layout. Figures: [disentanglement.json](../benchmarks/results/disentanglement.json), by "
        "`python -m nova_gym.benchmarks.disentanglement`. `nova-gym edit content`.",
        content_retargeting,
    ),
    Exhibit(
        "Motion retargeting",
        f"The content clip is rolled out; from step {AT} on it is moved by the latent actions of the motion clip. "
        "`nova-gym edit motion`.",
        motion_retargeting,
    ),
    Exhibit(
        "Interpolation",
        f"The same from step {AT} on, but the latent action goes from the one clip's to the other's in four steps. "
        "A blend of two go-to actions is not a pose, so the agent fades out in one place and appears in the other. "
        "`nova-gym edit interpolate`.",
        interpolation,
    ),
    Exhibit(
        "Learned actions",
        "The most frequent codes of the codebook, each applied to the same two pictures, in one cell: the one in "
        "which the agent was some steps later. They were found without labels. Each stands for what happens in a cell, "
        "on any layout. What each means, and how long rollouts on codes "
        "stay true: [codebook.json](../benchmarks/results/codebook.json), by `python -m "
        "nova_gym.benchmarks.codebook`.",
        learned_actions,
    ),
    Exhibit(
        "The dream goes on by itself",
        "The dream starts from one real frame of a layout that it never saw. The control model, which imitates the "
        "recording, chooses every step until the episode ends. `nova-gym record --expert` and `nova-gym train --stage "
        "control` make one that imitates walks to the goal. `env.unwrapped.autopilot(k)`, and `g` in the player.",
        goes_on_by_itself,
    ),
    Exhibit(
        "Moving digits",
        "Handwritten digits that no training clip shows. After ten frames of context the dream goes on by itself. How "
        "close it stays to the truth, and how long a classifier still names the digits rightly: "
        "[generation.json](../benchmarks/results/generation.json), by "
        "`python -m nova_gym.benchmarks.generation`.",
        digits_go_on,
    ),
)


def write_gallery(page: Path, exhibits: tuple[Exhibit, ...] = EXHIBITS) -> None:
    """Writes the page, and its pictures into a folder beside it that has the page's name.

    Args:
        page: Markdown file to write.
        exhibits: entries of the page, in order.

    Raises:
        BadInputError: a file cannot be written.
    """
    folder = page.with_suffix("")
    parts = ["# Gallery", "What a dream can do, in pictures. All of them, and this page, are made by one command:"]
    parts.append("```\npython -m nova_gym.benchmarks.gallery\n```")
    for exhibit in exhibits:
        names = exhibit.draw(folder)
        parts += [f"## {exhibit.title}", exhibit.caption]
        parts += [f"![{exhibit.title}]({folder.name}/{name})" for name in names]
    write_text(page, "\n\n".join(parts) + "\n")


def _pair() -> tuple[Dream, Pairs]:
    """The dream, and two pairs of clips; the second pair has different layouts."""
    dream = Dream.load("minigrid")
    return dream, find_pairs(dream, 2, "random", _SEED)


def _retarget(
    folder: Path, name: str, edited: str, intervention: Callable[[Tensor, Tensor], Intervention]
) -> list[str]:
    """Draws an edit of one clip of a pair.

    Args:
        folder: of the pictures.
        name: of the files.
        edited: the clip to edit, `content` or `motion`.
        intervention: of the content clip's states (1, T + 1, K, rows, cols) and the motion clip's latent actions
            (1, T, U, rows, cols).
    """
    dream, pairs = _pair()
    clips = {"content": pairs.content[1], "motion": pairs.motion[1]}
    states = {key: encode_frames(dream, frames)[None] for key, frames in clips.items()}
    latent_actions = infer_actions(dream.world_model, states["motion"])
    change = intervention(states["content"], latent_actions)
    states = edit(dream.world_model, states[edited], [change], dream.card.dead_band)
    rows = {"content clip": clips["content"], "motion clip": clips["motion"], "edited": _render(dream, states[0])}
    columns = [f"{t} edit" if t == AT else str(t) for t in range(len(clips["content"]))]
    save_png(folder / f"{name}.png", strip(rows, columns, enlarge=2))
    save_gif(folder / f"{name}.gif", film(rows, enlarge=3))
    return [f"{name}.png", f"{name}.gif"]


@torch.no_grad()
def _render(dream: Dream, states: Tensor) -> np.ndarray:
    """(T, K, rows, cols) → (T, H, W, C) uint8."""
    return dream.world_model.render(states, as_bytes=True).numpy()


def _around_agent(frame: np.ndarray) -> tuple[int, int]:
    """Upper left corner (y, x), in enlarged pixels, of a crop of a frame with the red agent in its middle."""
    red = (frame[..., 0] > 128) & (frame[..., 1] < 64)
    y, x = (int(places.mean()) * _FACTOR - _CROP // 2 for places in red.nonzero())
    last = len(frame) * _FACTOR - _CROP
    return min(max(y, 0), last), min(max(x, 0), last)


def main() -> None:
    """Draws the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs/gallery.md"),
        help="Markdown page to write; pictures go into a folder beside it (default: docs/gallery.md)",
    )
    page = parser.parse_args().output
    write_gallery(page)
    print(f"{page} and {page.with_suffix('')}")


if __name__ == "__main__":
    main()
