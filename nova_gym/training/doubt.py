"""Fits what a dream doubts by (`nova_gym.model.doubt`) to a finished model; takes a minute or two."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, join_clips
from nova_gym.data.clips import to_unit
from nova_gym.dream import Dream
from nova_gym.model.doubt import Doubt, cell_errors, log_error
from nova_gym.model.world_model import WorldModel
from nova_gym.stepping import bounded
from nova_gym.training.calibration import HELD_OUT, PROLONGED, calibrate
from nova_gym.training.changes import ROUNDING
from nova_gym.training.prolonging import prolonged
from nova_gym.training.representation import encode_in_parts
from nova_gym.training.strange import KINDS
from nova_gym.training.walks import FRAMES, WORN, drawn_wrong, draws_frames, walk

#: One clip in so many is kept from training, so that doubt is calibrated on what training did not see.
HELD_OUT_ONE_IN = 10
#: Codes, where the whole frame is one cell and where it consists of many.
CODES, CODES_OF_FRAMES = 192, 512
#: Cells that codes are chosen among; transitions that plausibility is learned from, and of each of their versions so
#: many cells that are right, on average; at most.
CELLS, TRANSITIONS, RIGHT = 20_000, 8_192, 4
#: Cells of all frames that are looked at, at most, on which the memory depends that it takes.
MOST_CELLS = 1 << 20
#: Steps of the optimiser at most, passes through all examples, cells a step.
STEPS, PASSES, BATCH = 800, 10, 1_024
#: Spread of the random factors that make wrong versions of the bridge's answer.
PERTURBED = 0.6


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
    most = max(1, MOST_CELLS // math.prod(model.config.cells))
    seen = _sample(parts, [~chosen for chosen in held], min(TRANSITIONS, most), generator)
    test = _sample(parts, tests, min(FRAMES, most), generator)
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
    doubt.base.copy_(made.base.half())  # as the file will hold them
    doubt.basis.copy_(made.basis.half())
    find_lively(doubt, clips, states)
    measure(made, clips, states, dead_band)
    learn_plausibility(made, clips, states, dead_band, generator)
    walks = {HELD_OUT: walk(made, test, dead_band, None, generator)}
    if (longer := _prolonged(made, test, generator)) is not None:
        walks[PROLONGED] = walk(made, longer, dead_band, None, generator, len(longer.frames))
    walks |= {kind: walk(made, test, dead_band, kind, generator) for kind in (WORN, *KINDS)}
    found = calibrate(doubt, {kind: part for kind, part in walks.items() if len(part.gone)})
    made.requires_grad_(False)
    return made, found


def _prolonged(model: WorldModel, clips: Clips, generator: Generator) -> Clips | None:
    """Clips that go on (`prolonged`), where the frame says all that the model knows."""
    return None if model.has_memory or model.has_chance else prolonged(clips, generator)


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
    code = torch.cat([doubt.nearest(part)[0] for part in before.flatten(0, 2).split(2**16)])
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
        made, _ = bounded(model.settle(state, model.step(state, model.translate(state, actions)), dead_band))
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
        longer = _prolonged(model, clips, generator)
        for kind, along in ((None, clips), (WORN, clips), *([(None, longer)] if longer is not None else [])):
            part = walk(model, along, dead_band, kind, generator, FRAMES if along is clips else len(along.frames))
            inputs, missed = part.inputs[part.fine], part.missed[part.fine]
            examples.append(_some(inputs, missed, RIGHT * len(part.there) * part.there.shape[1], generator))
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
        settle = lambda latent: bounded(model.settle(state, model.step(state, latent), dead_band))[0]  # noqa: E731
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
        wrong = drawn_wrong(model, looked, version, truth)
        made.append(_some(looked.inputs, wrong, RIGHT * len(chosen), generator))
    return made


def _some(inputs: Tensor, wrong: Tensor, right: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Examples of which no more than so many are right; as many of both are drawn, and the right ones are many."""
    some = torch.nonzero(~wrong)[:, 0]
    some = torch.cat([torch.nonzero(wrong)[:, 0], some[torch.randperm(len(some), generator=generator)[:right]]])
    return inputs[some], wrong[some]
