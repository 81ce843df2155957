"""Fits and calibrates what a dream doubts by (`nova_gym.model.doubt`), on a finished model; takes seconds."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import expit
from torch import Generator, Tensor

from nova_gym.data import Clips, join_clips
from nova_gym.data.clips import to_unit
from nova_gym.dream import Dream
from nova_gym.measures import agreement
from nova_gym.measures.pictures import SAME_PSNR, TILE_TOLERANCE
from nova_gym.model.doubt import EVIDENCE, LEAST, Belief, Doubt, Looked, log_error
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import ROUNDING
from nova_gym.training.representation import encode_in_parts
from nova_gym.training.strange import KINDS, strange

#: One clip in so many is kept from training, so that doubt is calibrated on what training did not see.
HELD_OUT_ONE_IN = 10
#: Codes, where the whole frame is one cell and where it consists of many.
CODES, CODES_OF_FRAMES = 192, 512
#: Cells that codes are chosen among, transitions that plausibility is learned from, and frames of roll-outs of each
#: kind that calibrate, at most.
CELLS, TRANSITIONS, FRAMES = 20_000, 8_192, 3_000
#: Steps of the optimiser at most, passes through all examples, cells a step.
STEPS, PASSES, BATCH = 800, 10, 1_024
#: Spread of the random factors that make wrong versions of the bridge's answer.
PERTURBED = 0.6


#: Keeps weights finite where evidence divides all steps without an error.
PRIOR = 1e-3
#: How often what happens by chance is drawn.
DRAWS = 8
#: A kind of roll-outs beside those of strange frames: states that begin with noise of this strength at most.
WORN, WEAR = "worn", 0.2
#: How much strange roll-outs count beside those of frames as they are, where probabilities are fitted.
STRANGE = 0.1
#: A reward is wrong if it is off by more than this share of their spread.
REWARD = 0.05


class Walks(NamedTuple):
    """Roll-outs of the dream along recorded clips: R of them, T steps at most.

    Attributes:
        drawn: (R,) float32, the logarithm of the error that the worst cell of the first frame is drawn with.
        likely: (R,) float32, that of the cell of which the codes say the worst.
        wrong: (R, T + 1) bool, whether the frame, the reward or the ending is wrong.
        there: (R, T + 1) bool, whether the clip goes on until then.
        evidence: (m, `EVIDENCE`) float32, of all cells that were looked at.
        place: (m, 2) int64, roll-out and step of each.
        missed: (m,) bool, which of them are wrong after the step.
        inputs: (m, …) float32, what the network reads of them.
    """

    drawn: Tensor
    likely: Tensor
    wrong: Tensor
    there: Tensor
    evidence: Tensor
    place: Tensor
    missed: Tensor
    inputs: Tensor

    @property
    def fine(self) -> Tensor:
        """(m,) bool, which cells are of frames that were right before the step."""
        return ~self.wrong[self.place[:, 0], self.place[:, 1]]


def held_out(clips: Clips) -> Tensor:
    """(E,) bool: the clips that are kept from training. None where a recording has few."""
    chosen = torch.arange(len(clips.lengths)) % HELD_OUT_ONE_IN == HELD_OUT_ONE_IN - 1
    return chosen if len(chosen) >= 2 * HELD_OUT_ONE_IN else torch.zeros_like(chosen)


def without_held_out(clips: Clips) -> Clips:
    """The same clips, of which those that are held out are never drawn. Encoder and renderer still see their frames."""
    held = held_out(clips)
    if not clips.labelled or not bool(held.any()):
        return clips
    weights = torch.ones(len(clips.source)) if clips.weights is None else clips.weights
    return replace(clips, weights=weights.masked_fill(torch.repeat_interleave(held, clips.lengths), 0.0))


def to_learn_from(dream: Dream, clips: Clips) -> Clips:
    """A recording as a dream learns on from it: without what is held out, if the dream never saw that.

    Which clips those are is counted within one recording, so several are joined afterwards.

    Args:
        dream: that learns on.
        clips: one recording.
    """
    return without_held_out(clips) if "held out" in dream.card.training else clips


def teach_doubt(dream: Dream, parts: list[Clips], seed: int = 0) -> Dream:
    """Gives a dream its doubt, or a new one; all else stays as it is to the last bit.

    Args:
        dream: with actions; left as it is.
        parts: with frames and labels, the recordings that it was trained on.
        seed: of everything random.

    Returns:
        The dream with doubt, on the CPU. `Card.doubt` says how well that is calibrated.
    """
    model = copy.deepcopy(dream.world_model).cpu().eval().requires_grad_(False)
    generator = Generator().manual_seed(seed)
    held = [held_out(part) for part in parts]
    tests = [chosen if bool(chosen.any()) else ~chosen for chosen in held]
    seen = _sample(parts, [~chosen for chosen in held], TRANSITIONS, generator)
    test = _sample(parts, tests, FRAMES, generator)
    states = encode_in_parts(model, seen.frames)
    made, found = fit_doubt(model, seen, states, test, dream.card.dead_band, seed)
    card = copy.deepcopy(dream.card)
    apart = "held out" in card.training and all(bool(chosen.any()) for chosen in held)
    card.doubt = {"calibrated on": "steps that training left out" if apart else "steps of its own recording", **found}
    return Dream(made, {name: start.cpu() for name, start in dream.starts.items()}, card)


def _sample(parts: list[Clips], chosen: list[Tensor], frames: int, generator: Generator) -> Clips:
    """Some of the chosen clips of recordings, with about so many frames in all, as one recording."""
    some = []
    for part, mask in zip(parts, chosen, strict=True):
        order = torch.nonzero(mask)[:, 0]
        order = order[torch.randperm(len(order), generator=generator)]
        within = torch.cumsum(part.lengths[order] + 1, 0) <= frames // len(parts)
        within[:1] = True
        some.append(part.part(torch.zeros_like(mask).index_fill(0, order[within], True)))
    joined = join_clips(some, [1.0] * len(some))
    return replace(joined, frames=torch.cat([part.frames for part in some]), weights=None)


def fit_doubt(
    model: WorldModel, clips: Clips, states: Tensor, test: Clips, dead_band: float, seed: int = 0
) -> tuple[WorldModel, dict[str, Any]]:
    """Gives a finished model its doubt.

    Args:
        model: on the CPU, with actions; left as it is.
        clips: labelled, those that it was trained on.
        states: (F, K, rows, cols) float32 of all their frames.
        test: clips with frames that it was not trained on, of the same environment.
        dead_band: of the dream (`Card.dead_band`).
        seed: of everything random.

    Returns:
        The model with doubt, and how well that is calibrated on `test`, for the card.
    """
    generator = Generator().manual_seed(seed)
    codes = choose_codes(clips, states, CODES_OF_FRAMES if draws_frames(model) else CODES, generator)
    config = replace(model.config, doubt=len(codes))
    made = WorldModel(config, Generator().manual_seed(seed))
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith("doubt.")}
    made.load_state_dict(kept, strict=False)
    made = made.to(model.device).eval().requires_grad_(False)
    doubt: Doubt = made.doubt
    doubt.codes.copy_(codes)
    find_lively(doubt, clips, states)
    measure(made, clips, states, dead_band)
    learn_plausibility(made, clips, states, dead_band, generator)
    walks = [walk(made, test, dead_band, kind, generator) for kind in (None, WORN, *KINDS)]
    found = calibrate(doubt, [part for part in walks if len(part.wrong)])
    made.requires_grad_(False)
    return made, found


def choose_codes(clips: Clips, states: Tensor, most: int, generator: Generator) -> Tensor:
    """(n, K) float32, cells of a recording that lie as far apart as possible: all that differ, or the `most`."""
    cells = states.movedim(1, 3).flatten(0, 2)
    sample = cells[torch.randperm(len(cells), generator=generator)[:CELLS]]
    before, after, moved = _changes(clips, states)
    sample = torch.cat([sample, before[moved][:CELLS], after[moved][:CELLS]])  # what moves may be rare among cells
    chosen = [int((sample - sample.mean(0)).square().sum(1).argmin())]
    nearest = (sample - sample[chosen[0]]).square().sum(1)
    while len(chosen) < most and float(nearest.max()) > ROUNDING * sample.shape[1]:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (sample - sample[chosen[-1]]).square().sum(1))
    return sample[chosen].half().float()  # as the file will hold them


def find_lively(doubt: Doubt, clips: Clips, states: Tensor) -> None:
    """Finds the codes whose cells change more often than cells do on average."""
    before, _, moved = _changes(clips, states)
    code, _ = doubt.nearest(before.flatten(0, 2))
    counts = torch.bincount(code, minlength=len(doubt.codes))
    changed = torch.bincount(code, moved.flatten().float(), minlength=len(doubt.codes))
    doubt.lively.copy_((changed / counts.clamp(min=1) > changed.sum() / counts.sum()).float())


def _changes(clips: Clips, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, rows, cols, K) cells before and after some transitions, and (n, rows, cols) bool, which changed."""
    source = clips.source[:: max(1, len(clips.source) // TRANSITIONS)]
    before, after = (states[frames].movedim(1, 3) for frames in (source, source + 1))
    return before, after, (before - after).square().mean(-1) > ROUNDING


@torch.no_grad()
def measure(model: WorldModel, clips: Clips, states: Tensor, dead_band: float) -> None:
    """Measures how far from the codes the dream's own steps usually end, and how well cells of each code are drawn."""
    doubt: Doubt = model.doubt
    sums = torch.zeros(2, len(doubt.codes))
    for part in (clips.source[:: max(1, len(clips.source) // FRAMES)] + 1).split(256):
        code, _ = doubt.nearest(states[part].movedim(1, 3).flatten(0, 2))
        error = log_error(cell_errors(model, states[part], to_unit(clips.frames[part]))).flatten()
        counted = (torch.bincount(code, value, len(doubt.codes)) for value in (error, torch.ones(len(error))))
        sums += torch.stack(list(counted))
    total, count = sums
    doubt.log_errors.copy_(torch.where(count > 0, total / count.clamp(min=1), total.sum() / count.sum()))
    cells = []
    for chosen in torch.arange(0, len(clips.source), max(1, len(clips.source) // FRAMES)).split(256):
        state, actions = model.begin(states[clips.source[chosen]]), clips.actions[chosen]
        made = model.settle(state, model.step(state, model.translate(state, actions)), dead_band)
        cells.append(made.movedim(1, 3)[(made[:, :2] != state[:, :2]).any(1)])
    cells = torch.cat(cells)
    if not len(cells):  # a dream in which nothing ever changes
        cells = made.movedim(1, 3).flatten(0, 2)
    code, square = doubt.nearest(cells)
    doubt.log_spread.copy_(square.clamp(min=ROUNDING * doubt.rank).median().log().half().float())
    pictures = (model.draw(each[:FRAMES, :, None, None]).clamp(0.0, 1.0) for each in (cells, doubt.codes[code]))
    apart = (next(pictures) - next(pictures)).square().mean((1, 2))
    doubt.log_scale.copy_((apart.sum() / square[:FRAMES].sum().clamp(min=1e-9)).clamp(min=1e-6).log())


def learn_plausibility(model: WorldModel, clips: Clips, states: Tensor, dead_band: float, generator: Generator) -> None:
    """Trains the network that tells what happened in the recording from what did not."""
    doubt: Doubt = model.doubt
    examples: list[tuple[Tensor, Tensor]] = []
    chosen = torch.randperm(len(clips.source), generator=generator)[:TRANSITIONS]
    with torch.no_grad():
        for part in chosen.split(512):
            examples += _versions(model, clips, states, part, dead_band, generator)
        for kind in (None, WORN):
            part = walk(model, clips, dead_band, kind, generator)
            examples.append((part.inputs[part.fine], part.missed[part.fine]))
    inputs, labels = map(torch.cat, zip(*examples, strict=True))
    groups = [torch.nonzero(labels == flag)[:, 0] for flag in (False, True)]
    if not all(map(len, groups)):
        return
    doubt.network.requires_grad_(True)
    optimizer = torch.optim.AdamW(doubt.network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = max(4, min(STEPS, PASSES * len(labels) // BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    with torch.enable_grad():
        for _ in range(steps):
            picked = [g[torch.randint(len(g), (BATCH // 2,), generator=generator)] for g in groups]
            rows = torch.cat(picked)
            logits = doubt.network(inputs[rows]).squeeze(1)
            loss = F.binary_cross_entropy_with_logits(logits, labels[rows].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    doubt.network.requires_grad_(False)


def _versions(
    model: WorldModel, clips: Clips, states: Tensor, chosen: Tensor, dead_band: float, generator: Generator
) -> list[tuple[Tensor, Tensor]]:
    """True and false versions of what transitions lead to: inputs of the network, and which of them are wrong."""
    source, actions = clips.source[chosen], clips.actions[chosen]
    state, true = model.begin(states[source]), states[source + 1]
    versions = [true, states[source]]
    if not model.has_chance:
        u = model.translate(state, actions)
        settle = lambda latent: model.settle(state, model.step(state, latent), dead_band)  # noqa: E731
        factors = 1.0 + PERTURBED * torch.randn(u.shape, generator=generator)
        other = actions[torch.randperm(len(actions), generator=generator)]
        versions += [settle(u), settle(u * factors), settle(model.translate(state, other))]
    swapped = true.clone()  # something else, from anywhere, or a half of it
    rows, cols = true.shape[2:]
    for _ in range(2):
        r, c = (torch.randint(side, (len(true),), generator=generator) for side in (rows, cols))
        r2, c2 = (torch.randint(side, (len(true),), generator=generator) for side in (rows, cols))
        mixed = torch.rand(len(true), 1, generator=generator)
        index, away = torch.arange(len(true)), torch.randint(len(states), (len(true),), generator=generator)
        there = states[away, : true.shape[1]][index, :, r2, c2]
        swapped[index, :, r, c] = torch.lerp(swapped[index, :, r, c], there, mixed)
    versions.append(swapped)
    belief, made = model.doubt.begin(state), []
    truth = to_unit(clips.frames[source + 1])
    for version in versions:
        looked = model.doubt.look(belief, state, actions, version)
        made.append((looked.inputs, _drawn_wrong(model, looked, version, truth)))
    return made


def _drawn_wrong(model: WorldModel, looked: Looked, state: Tensor, truth: Tensor) -> Tensor:
    """(n,) bool: which of the cells that were looked at are not drawn as frames (N, C, H, W) show them."""
    height, width = model.config.cell
    cells = model.seen(state).movedim(1, 3).flatten(1, 2)[looked.dream, looked.cell]
    drawn = torch.cat([model.draw(part[:, :, None, None]).clamp(0.0, 1.0) for part in cells.split(4096)])
    cut = truth.unfold(2, height, height).unfold(3, width, width).flatten(2, 3)  # (N, C, cells, h, w)
    shown = cut[looked.dream, :, looked.cell].flatten(2)
    return (drawn - shown).square().mean((1, 2)) > tolerated(model)


@torch.no_grad()
def walk(model: WorldModel, clips: Clips, dead_band: float, kind: str | None, generator: Generator) -> Walks:
    """Lets the dream follow recorded clips by their actions, from frames as they are or made strange.

    Args:
        model: with doubt whose network is trained.
        clips: with frames and labels.
        dead_band: of the dream.
        kind: one of `KINDS`, `WORN` for states as long roll-outs wear them, or None for frames as they are.
        generator: of everything random.
    """
    long = int(clips.lengths.max())
    order = torch.randperm(len(clips.lengths), generator=generator)
    order = order[(clips.lengths[order] + 1).cumsum(0) <= max(FRAMES, long + 1)]
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
    wrong, there = torch.zeros(2, len(order), steps + 1, dtype=torch.bool)
    wrong[:, 0], there[:, 0] = (errors > tolerance).flatten(1).any(1), True
    for t in range(steps):
        n = int((lengths > t).sum())
        at, state, belief = step_of[order[:n]] + t, state[:n], Belief(*(part[:n] for part in belief))
        actions = clips.actions[at]
        truth = drawn_as(to_unit(clips.frames[first[:n] + t + 1]))
        latent, shown = _stepped(model, state, actions, truth, dead_band, generator)
        reward, ends = model.outcome(state, latent, shown, actions)
        following = model.recall(state, shown, actions)
        looked = model.doubt.look(belief, state, actions, following)
        belief, state = model.doubt.step(belief, state, actions, following), following
        place = torch.stack([looked.dream, torch.full_like(looked.dream, t)], dim=1)
        looks.append((looked.evidence, place, _drawn_wrong(model, looked, state, truth), looked.inputs))
        off = (cell_errors(model, state, truth) > tolerance).flatten(1).any(1)
        if not model.has_chance:
            off |= (ends > 0.5) != clips.terminations[at]
            off |= (reward - clips.rewards[at]).abs() > REWARD * spread
        wrong[:n, t + 1] = off
        there[:n, t + 1] = True
    if not looks:
        nothing = drawn.new_zeros(0)
        looks = [(nothing.view(0, EVIDENCE), nothing.view(0, 2).long(), nothing.bool(), nothing.view(0, 1))]
    return Walks(drawn, likely, wrong, there, *map(torch.cat, zip(*looks, strict=True)))


def _stepped(
    model: WorldModel, state: Tensor, actions: Tensor, truth: Tensor, dead_band: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Latent actions of a step and what the next frames show.

    What happens by chance is drawn some times, and what comes nearest to the truth is taken. So a step counts as wrong
    where what happened cannot happen in the dream, and not because something else might have.
    """
    drawn: list[tuple[Tensor, Tensor]] = []
    for _ in range(DRAWS if model.has_chance else 1):
        outcomes = None
        if model.has_chance:
            uniform = torch.rand(len(state), *state.shape[2:], generator=generator)
            outcomes = model.draw_outcomes(state, actions, uniform)
        latent = model.translate(state, actions, outcomes)
        drawn.append((latent, model.settle(state, model.step(state, latent), dead_band)))
    if len(drawn) == 1:
        return drawn[0]
    true = model.encode(truth)
    nearest = torch.stack([(shown - true).square().flatten(1).sum(1) for _, shown in drawn]).argmin(0)
    rows = torch.arange(len(state))
    latents, shown = (torch.stack(each)[nearest, rows] for each in zip(*drawn, strict=True))
    return latents, shown


def tolerated(model: WorldModel) -> float:
    """Mean squared error up to which a cell, or where that is the whole frame the frame, counts as right."""
    return 10.0 ** (-SAME_PSNR / 10.0) if draws_frames(model) else TILE_TOLERANCE


def draws_frames(model: WorldModel) -> bool:
    """Whether one network draws the whole frame, so that frames are judged and not cells."""
    return model.config.cell == model.config.frame_size


def cell_errors(model: WorldModel, state: Tensor, frames: Tensor) -> Tensor:
    """(N, rows, cols) mean squared errors that frames (N, C, H, W) are drawn with."""
    (rows, cols), (height, width) = state.shape[2:], model.config.cell
    drawn = torch.cat([model.render(part) for part in state.split(64)])
    squares = (drawn - frames).square().mean(1)
    return squares.view(len(frames), rows, height, cols, width).mean((2, 4))


def calibrate(doubt: Doubt, walks: list[Walks]) -> dict[str, Any]:
    """Fits the weights that turn evidence into probabilities, and says how well they agree with what happened."""
    first = torch.cat([part.wrong[:, 0] for part in walks])
    for weights, name in ((doubt.drawn_weights, "drawn"), (doubt.likely_weights, "likely")):
        values = torch.cat([getattr(part, name) for part in walks])
        weights.copy_(logistic(torch.stack([values, torch.ones_like(values)], dim=1), first))
    evidence, missed = (torch.cat([getattr(part, of)[part.fine] for part in walks]) for of in ("evidence", "missed"))
    doubt.step_weights.copy_(logistic(evidence, missed))
    over = [_so_far(_largest(doubt, part)) for part in walks]
    values, gone, weights = [], [], []
    for number, (part, so_far) in enumerate(zip(walks, over, strict=True)):
        counts = part.there[:, 1:] & ~part.wrong[:, :1]
        values.append(so_far[counts])
        gone.append(part.wrong[:, 1:][counts])
        weights.append(torch.full((len(gone[-1]),), STRANGE if number else 1.0))
    doubt.frame_weights.copy_(logistic(*map(torch.cat, (values, gone, weights))))
    found: dict[str, Any] = {}
    for name, part, so_far in zip(("held out", WORN, *KINDS), walks, over, strict=True):
        begun = torch.sigmoid(doubt.drawn_weights[0] * part.drawn + doubt.drawn_weights[1])[:, None]
        later = 1.0 - (1.0 - begun) * torch.sigmoid(-(so_far @ doubt.frame_weights))
        found[name] = agreement(torch.cat([begun, later], dim=1)[part.there].numpy(), part.wrong[part.there].numpy())
    return found


def _so_far(largest: Tensor) -> Tensor:
    """(R, T) logits of steps → (R, T, 3), what the probability that an episode went wrong is read from."""
    if not largest.shape[1]:
        return largest.new_zeros(*largest.shape, 3)
    return torch.stack([largest.cummax(1).values, largest.logcumsumexp(1), torch.ones_like(largest)], dim=2)


def _largest(doubt: Doubt, part: Walks) -> Tensor:
    """(R, T) float32, the largest logit of any cell at each step; `LEAST` where nothing was looked at."""
    size = part.wrong.shape[1] - 1
    flat = torch.full((len(part.wrong) * size,), LEAST)
    index = part.place[:, 0] * size + part.place[:, 1]
    return flat.scatter_reduce(0, index, part.evidence @ doubt.step_weights, "amax").view(len(part.wrong), size)


def logistic(features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Logistic regression in which more of any feature never makes a label less likely.

    Args:
        features: (n, f) float32, the last of which is 1.
        labels: (n,) bool.
        weights: (n,) float32, how much each counts; None for all alike.

    Returns:
        (f,) float32 weights, those of all but the last from 0.
    """
    x, y = features.double().numpy(), labels.double().numpy()
    counts = np.ones(len(y)) if weights is None else weights.double().numpy()

    def loss(slopes: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ slopes
        value = counts @ (np.logaddexp(0.0, z) - y * z) + PRIOR * (slopes[:-1] @ slopes[:-1])
        return value, x.T @ (counts * (expit(z) - y)) + 2 * PRIOR * np.append(slopes[:-1], 0.0)

    bounds = [(0.0, None)] * (x.shape[1] - 1) + [(-30.0, 30.0)]
    rate = (y.sum() + 0.5) / (len(y) + 1.0)  # where one of the two labels is missing, the constant says how rare it is
    start = np.append(np.zeros(x.shape[1] - 1), np.log(rate / (1.0 - rate)))
    if 0 < y.sum() < len(y):
        start = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return torch.from_numpy(start).float().half().float()  # as the file will hold them
