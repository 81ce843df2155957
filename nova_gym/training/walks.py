"""Roll-outs of a dream along recorded clips, each step compared with the truth: what doubt is learned from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from nova_gym.data import Clips
from nova_gym.data.clips import to_unit
from nova_gym.measures.pictures import SAME_PSNR, TILE_TOLERANCE
from nova_gym.model.doubt import EVIDENCE, Belief, Looked, cell_errors, log_error
from nova_gym.model.world_model import WorldModel
from nova_gym.stepping import bounded
from nova_gym.training.strange import strange

#: Frames of the roll-outs of one kind, at most.
FRAMES = 3_000
#: How often what happens by chance is drawn.
DRAWS = 8
#: A kind of roll-outs beside those of strange frames: states that begin with noise of this strength at most.
WORN, WEAR = "worn", 0.2
#: A reward is wrong if it is off by more than this share of their spread.
REWARD = 0.05


class Walks(NamedTuple):
    """Roll-outs of the dream along recorded clips: R of them, T steps at most.

    Attributes:
        drawn: (R,) float32, the logarithm of the error that the worst cell of the first frame is drawn with.
        likely: (R,) float32, that of the cell of which the codes say the worst.
        gone: (R, T + 1) bool, whether the frame is wrong.
        off: (R, T + 1) bool, whether the reward or the ending is wrong.
        undecided: (R, T + 1) float32, how undecided the heads are about these (`Heads.undecided`); of the start 0.
        there: (R, T + 1) bool, whether the clip goes on until then.
        evidence: (m, `EVIDENCE`) float32, of all cells that were looked at.
        place: (m, 2) int64, roll-out and step of each.
        missed: (m,) bool, which of them are wrong after the step.
        inputs: (m, …) float32, what the network reads of them.
    """

    drawn: Tensor
    likely: Tensor
    gone: Tensor
    off: Tensor
    undecided: Tensor
    there: Tensor
    evidence: Tensor
    place: Tensor
    missed: Tensor
    inputs: Tensor

    @property
    def wrong(self) -> Tensor:
        """(R, T + 1) bool, whether the frame, the reward or the ending is wrong."""
        return self.gone | self.off

    @property
    def fine(self) -> Tensor:
        """(m,) bool, which cells are of frames that were right before the step."""
        return ~self.gone[self.place[:, 0], self.place[:, 1]]


def drawn_wrong(model: WorldModel, looked: Looked, state: Tensor, truth: Tensor) -> Tensor:
    """(n,) bool: which of the cells that were looked at are not drawn as frames (N, C, H, W) show them."""
    height, width = model.config.cell
    cells = model.seen(state).movedim(1, 3).flatten(1, 2)[looked.dream, looked.cell]
    drawn = torch.cat([model.draw(part[:, :, None, None]).clamp(0.0, 1.0) for part in cells.split(4096)])
    cut = truth.unfold(2, height, height).unfold(3, width, width).flatten(2, 3)  # (N, C, cells, h, w)
    shown = cut[looked.dream, :, looked.cell].flatten(2)
    return (drawn - shown).square().mean((1, 2)) > tolerated(model)


@torch.no_grad()
def walk(
    model: WorldModel, clips: Clips, dead_band: float, kind: str | None, generator: Generator, frames: int = FRAMES
) -> Walks:
    """Lets the dream follow recorded clips by their actions, from frames as they are or made strange.

    Args:
        model: with doubt whose network is trained.
        clips: with frames and labels.
        dead_band: of the dream.
        kind: one of `KINDS`, `WORN` for states as long roll-outs wear them, or None for frames as they are.
        generator: of everything random.
        frames: how many, at most.
    """
    frames = max(frames, int(clips.lengths.max()) + 1)
    order = torch.randperm(len(clips.lengths), generator=generator)
    order = order[(clips.lengths[order] + 1).cumsum(0) <= frames]
    order = order[clips.lengths[order].argsort(descending=True)]  # those that go on stand first
    lengths, first = clips.lengths[order], clips.first_frames[order]
    step_of = torch.cumsum(clips.lengths, 0) - clips.lengths
    drawn_as = strange(None if kind == WORN else kind, len(order), clips, generator)
    truth = drawn_as(to_unit(clips.frames[first]))
    state = model.begin(model.encode(truth))
    if kind == WORN:
        strength = WEAR * torch.rand(len(state), 1, 1, 1, generator=generator)
        state = state + strength * torch.randn(state.shape, generator=generator)
    errors = cell_errors(model, state, truth)
    belief = model.doubt.begin(state, errors)
    drawn = log_error(errors).flatten(1).amax(1)
    likely = model.doubt.likely_error(*model.doubt.nearest(state[:, : model.config.rank].movedim(1, 3).flatten(0, 2)))
    likely = likely.view(len(order), -1).amax(1)
    tolerance, spread = tolerated(model), float(clips.rewards.max() - clips.rewards.min())
    steps = 0 if kind == "patched" else int(lengths.max())  # what moves behind a patch cannot be known
    looks: list[tuple[Tensor, ...]] = []
    gone, off, there = torch.zeros(3, len(order), steps + 1, dtype=torch.bool)
    undecided = torch.zeros(len(order), steps + 1)
    gone[:, 0], there[:, 0] = (errors > tolerance).flatten(1).any(1), True
    for t in range(steps):
        n = int((lengths > t).sum())
        at, state, belief = step_of[order[:n]] + t, state[:n], Belief(*(part[:n] for part in belief))
        actions = clips.actions[at]
        truth = drawn_as(to_unit(clips.frames[first[:n] + t + 1]))
        latent, shown = _stepped(model, state, actions, truth, dead_band, generator)
        reward, ends, undecided[:n, t + 1] = model.outcome(state, latent, shown, actions)
        following, lost = bounded(model.recall(state, shown, actions))
        looked = model.doubt.look(belief, state, actions, following)
        belief = model.doubt.step(belief, state, actions, following, undecided[:n, t + 1], looked)
        state = following
        place = torch.stack([looked.dream, torch.full_like(looked.dream, t)], dim=1)
        looks.append((looked.evidence, place, drawn_wrong(model, looked, state, truth), looked.inputs))
        gone[:n, t + 1] = lost | (cell_errors(model, state, truth) > tolerance).flatten(1).any(1)
        if not model.has_chance:
            off[:n, t + 1] = (ends > 0.5) != clips.terminations[at]
            off[:n, t + 1] |= (reward - clips.rewards[at]).abs() > REWARD * spread
        there[:n, t + 1] = True
    if not looks:
        nothing = drawn.new_zeros(0)
        looks = [(nothing.view(0, EVIDENCE), nothing.view(0, 2).long(), nothing.bool(), nothing.view(0, 1))]
    return Walks(drawn, likely, gone, off, undecided, there, *map(torch.cat, zip(*looks, strict=True)))


def _stepped(
    model: WorldModel, state: Tensor, actions: Tensor, truth: Tensor, dead_band: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Latent actions of a step and what the next frames show.

    What happens by chance is drawn some times, and what comes nearest to the truth is taken. So a step counts as wrong
    where what happened cannot happen in the dream, and not because something else might have.
    """
    count, outcomes = len(state), None
    draws = DRAWS if model.has_chance else 1
    if model.has_chance:  # all draws as one batch
        state, actions = (torch.cat([part] * draws) for part in (state, actions))
        uniform = torch.rand(len(state), *state.shape[2:], generator=generator)
        outcomes = model.draw_outcomes(state, actions, uniform)
    latent = model.translate(state, actions, outcomes)
    shown = bounded(model.settle(state, model.step(state, latent), dead_band))[0]
    if draws == 1:
        return latent, shown
    latents, several = (part.unflatten(0, (draws, count)) for part in (latent, shown))
    nearest = (several - model.encode(truth)).square().flatten(2).sum(2).argmin(0)
    rows = torch.arange(count)
    return latents[nearest, rows], several[nearest, rows]


def tolerated(model: WorldModel) -> float:
    """Mean squared error up to which a cell, or where that is the whole frame the frame, counts as right."""
    return 10.0 ** (-SAME_PSNR / 10.0) if draws_frames(model) else TILE_TOLERANCE


def draws_frames(model: WorldModel) -> bool:
    """Whether one network draws the whole frame, so that frames are judged and not cells."""
    return model.config.cell == model.config.frame_size
