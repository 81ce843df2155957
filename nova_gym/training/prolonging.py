"""Clips that go on: recorded steps that lead back to a frame of the clip are taken again, as often as wanted.

Most recordings of layouts have clips of few steps, and a dream is trusted over many more. Where the frame says all, the
same step from the same frame always leads to the same one. So a clip that comes back to one of its frames tells what
happens in longer episodes too: in each of its frames some recorded step is taken, and the truth after it is known.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from nova_gym.data import Clips

#: Steps of a clip that goes on.
STEPS = 128
#: Clips that go on, at most.
MOST = 48


def prolonged(clips: Clips, generator: Generator) -> Clips | None:
    """Clips of `STEPS` steps of a recording in which the frame says all; None where no clip comes back to its frames.

    Args:
        clips: with frames and labels.
        generator: for the choice of clips and steps.
    """
    shown, taken, lengths = [], [], clips.lengths.tolist()
    step_of = torch.cumsum(clips.lengths, 0) - clips.lengths
    for clip in torch.randperm(len(lengths), generator=generator).tolist():
        first, step = int(clips.first_frames[clip]), int(step_of[clip])
        frames = clips.frames[first : first + lengths[clip] + 1]
        acted, ends = (each[step : step + lengths[clip]] for each in (clips.actions, clips.terminations))
        if (walked := _walk(frames, acted, ends, generator)) is not None:
            shown.append(first + walked[0])
            taken.append(step + walked[1])
        if len(shown) == MOST:
            break
    if not shown:
        return None
    count, index = len(shown), torch.cat(taken)
    return replace(
        clips,
        frames=clips.frames[torch.cat(shown)],
        actions=clips.actions[index],
        rewards=clips.rewards[index],
        terminations=clips.terminations[index],
        lengths=torch.full((count,), STEPS),
        starts=("",) * count,
        source=torch.arange(count * STEPS) + torch.arange(count).repeat_interleave(STEPS),
        remaining=torch.arange(STEPS, 0, -1).repeat(count),
        weights=None,
    )


def _walk(frames: Tensor, actions: Tensor, ends: Tensor, generator: Generator) -> tuple[Tensor, Tensor] | None:
    """A walk at random over the frames of one clip that one can go on from, by its own steps.

    Args:
        frames: (n + 1, C, H, W).
        actions: (n,) or (n, N), of its steps.
        ends: (n,) bool, which steps end the episode.

    Returns:
        (`STEPS` + 1,) int64 frames and (`STEPS`,) int64 steps of the clip; None if that does not get around, or if the
        frame does not say all: the same action in the same frame leads elsewhere.
    """
    known: dict[bytes, int] = {}  # `numpy.unique` of rows as long as frames takes far longer
    place = [known.setdefault(frame.tobytes(), len(known)) for frame in frames.numpy()]
    ways: dict[int, list[int]] = {}
    if len({(here, str(action)) for here, action in zip(place, actions.tolist(), strict=False)}) < len(
        {(here, str(action), there) for here, action, there in zip(place, actions.tolist(), place[1:], strict=False)}
    ):
        return None
    for step, over in enumerate(ends.tolist()):
        if not over:
            ways.setdefault(place[step], []).append(step)
    while dead := [here for here in ways if not any(place[step + 1] in ways for step in ways[here])]:
        for here in dead:
            del ways[here]
    ways = {here: [step for step in steps if place[step + 1] in ways] for here, steps in ways.items()}
    if len(ways) < 2:
        return None
    step = min(min(steps) for steps in ways.values())
    shown, taken = [step], []
    for draw in torch.rand(STEPS, generator=generator).tolist():
        steps = ways[place[shown[-1]]]
        taken.append(steps[int(draw * len(steps))])
        shown.append(taken[-1] + 1)
    return torch.tensor(shown), torch.tensor(taken)
