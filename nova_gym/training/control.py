"""Training the generative control model, by action matching with everything else frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.control import Control, Memory
from nova_gym.model.world_model import WorldModel
from nova_gym.training.changes import Changes
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Length in steps of the longest piece of a clip that the control model is trained on.
LENGTH = 20
#: Transitions that the spread of latent actions is measured on at most.
SAMPLE = 1024
#: Numbers of latent actions that hardly vary are divided by this share of the largest spread.
LEAST = 1e-2
#: One clip in so many is held out, and how often over the training the error on those is looked at, on how many.
HELD_OUT_ONE_IN, LOOKS, LOOKED_AT = 10, 10, 24
#: Cells of transitions that the linear part is computed from, about, and how much it may be shrunk: as by noise of such
#: variance on what it reads; states have mean square 1.
CELLS, RIDGES = 100_000, (1e-3, 1e-2, 1e-1, 1.0)
#: Share of the training after which rollouts leave the recording.
ALONE = 0.1
#: Weight of matching latent actions beside that of predicted states.
MATCHING = 0.1


class ControlStage(Stage):
    """Action matching on the model's own rollouts (arXiv 2605.06298, third stage; `docs/how-it-works.md`, Stage 3).

    In the first tenth of the training, states are those of the recording, with noise. Later that holds only for the
    beginning of a rollout. Afterwards states are the model's own, moved by the control model's own answers, so that it
    learns to continue from its own errors.

    Some clips are held out. What goes on best there, of the control model as it was now and then, is what stays: a
    short recording is soon learned by heart.

    On states of the recording the target is the latent action that the inverse dynamics infer. Everywhere the state
    that the answer leads to is compared with the true next one, since equal differences of latent actions need not
    matter equally.
    """

    name, trains, least = "control", ("control",), 4

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.control)
        self.states, self.dead_band = states, Changes.of(clips, states).dead_band
        self.length = min(LENGTH, int(clips.lengths.max()))
        position = clips.position
        # Pieces of clips may start where enough steps are left, and at the beginning of clips that are too short.
        suitable, held_out = (clips.remaining >= self.length) | (position == 0), _held_out(clips)
        self.starts = (suitable & ~held_out).nonzero().squeeze(1)
        self.first = (position == 0).nonzero().squeeze(1)
        watched = (suitable & held_out).nonzero().squeeze(1)
        self.watched = watched[:: max(1, -(-len(watched) // LOOKED_AT))]

    def batch(self, generator: Generator, progress: float) -> Batch:
        if progress * LOOKS >= int(self.memory.get("looks", 0)):
            self._look()
            self.memory["looks"] = torch.tensor(int(progress * LOOKS) + 1)  # a resumed run looks no more often
        chosen = self.starts[torch.randint(len(self.starts), (self.recipe.batch,), generator=generator)]
        scale = torch.rand(len(chosen), 1, 1, 1, 1, generator=generator) * self.recipe.noise
        context = int(torch.randint(1, self.length + 1, (), generator=generator))
        pieces = self._pieces(chosen, context if progress > ALONE else self.length)
        return {**pieces, "states": pieces["states"] + torch.randn(pieces["states"].shape, generator=generator) * scale}

    def _pieces(self, chosen: Tensor, context: int) -> Batch:
        """Pieces of clips from some transitions on, of which rollouts follow so many steps.

        They are as long as the longest of them.
        """
        offsets = torch.arange(min(self.length, int(self.clips.remaining[chosen].max())))
        inside = offsets < self.clips.remaining[chosen, None]
        transitions = torch.where(inside, chosen[:, None] + offsets, chosen[:, None])
        source = self.clips.source[transitions]
        return {
            "states": self.states[source],
            "next": self.states[source + 1],
            "inside": inside,
            "context": torch.tensor(min(context, len(offsets))),
        }

    @torch.no_grad()
    def begin(self) -> None:
        """Tells the control model what a recording says at once: the spread of latent actions, and its linear part."""
        clips, model = self.clips, self.model
        source = clips.source[:: max(1, len(clips.source) // SAMPLE)]
        pair = (self.states[frames].to(model.device) for frames in (source, source + 1))
        control, spread = self.parts["control"], model.infer(*pair).square().mean((0, 2, 3)).sqrt()
        control.spread.copy_(spread.clamp(min=LEAST * float(spread.max())))
        if control.linear is None or not len(self.watched):
            return
        for parameter in control.last.parameters():  # so that training begins with the linear part alone
            parameter.zero_()
        best = float(self._error()), control.linear.clone(), control.constant.clone()
        for linear, constant in self._linear():
            control.linear.copy_(linear)
            control.constant.copy_(constant)
            if (error := float(self._error())) < best[0]:
                best = error, linear, constant
        control.linear.copy_(best[1])
        control.constant.copy_(best[2])

    def _linear(self) -> list[tuple[Tensor, Tensor]]:
        """Linear parts to choose from, fitted to pieces of the clips that are not held out."""
        count = max(1, CELLS // (self.length * self.states[0, 0].numel()))
        chosen = self.starts[:: max(1, -(-len(self.starts) // count))]
        return fit_linear(self.model, [self._pieces(some, self.length) for some in chosen.split(16)])

    def finish(self) -> None:
        self._look()
        if "error" in self.memory:
            self.parts["control"].load_state_dict({**self.parts["control"].state_dict(), **_named(self.memory)})

    @torch.no_grad()
    def _look(self) -> None:
        """Keeps the control model as it is now, if it goes on better than before on clips that are held out."""
        if not len(self.watched):
            return
        error = self._error()
        if "error" not in self.memory or error < self.memory["error"]:
            parameters = self.parts["control"].named_parameters()
            kept = {_PREFIX + name: value.detach().cpu().clone() for name, value in parameters}
            self.memory = {**self.memory, "error": error, **kept}

    def _error(self) -> Tensor:
        """() float32, how far the steps of rollouts are off that leave the clips held out half-way."""
        batch = {key: value.to(self.model.device) for key, value in self._pieces(self.watched, self.length).items()}
        states, following = batch["states"], batch["next"]
        half = states.shape[1] // 2
        targets = self.model.infer(states[:, :half].flatten(0, 1), following[:, :half].flatten(0, 1))
        rolled, answers = self._roll_out(states, targets.unflatten(0, (len(states), half)), half)
        alone = batch["inside"].clone()
        alone[:, : max(0, half - 1)] = False
        return F.mse_loss(self.model.step(rolled[alone], answers[alone]), following[alone]).cpu()

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        states, following, inside = batch["states"], batch["next"], batch["inside"]
        context = int(batch["context"])
        with torch.no_grad():
            targets = self.model.infer(states.flatten(0, 1), following.flatten(0, 1)).unflatten(0, states.shape[:2])
        rolled, answers = self._roll_out(states, targets, context)
        known = inside.clone()
        known[:, context:] = False
        matching = (answers - targets)[known].square().mean() / targets[known].square().mean()
        predicted = F.mse_loss(self.model.step(rolled[inside], answers[inside]), following[inside])
        return MATCHING * matching + predicted, {"matching": matching, "prediction": predicted}

    def _roll_out(self, states: Tensor, targets: Tensor, context: int) -> tuple[Tensor, Tensor]:
        """States and answers of rollouts that leave the recording after `context` steps."""
        control, state = self.parts["control"], states[:, 0]
        memory = control.reset(len(states), states.shape[3:])
        rolled, answers = [], []
        for t in range(states.shape[1]):
            state = states[:, t] if t < context else state
            heard = control.listen(memory, state)
            answer = control.answer(heard, state)
            rolled.append(state)
            answers.append(answer)
            latent_action = targets[:, t] if t < context else answer.detach().clamp(-1.0, 1.0)
            memory = heard._replace(latent_action=latent_action)
            with torch.no_grad():
                state = self.model.settle(state, self.model.step(state, latent_action), self.dead_band)
        return torch.stack(rolled, 1), torch.stack(answers, 1)

    @torch.no_grad()
    def pictures(self) -> Tensor:
        chosen = self.first[:: max(1, len(self.first) // 8)][:8]
        control, source = self.parts["control"], self.clips.source[chosen]
        state = self.states[source].to(self.model.device)
        answer = control.decode(control.reset(len(chosen), state.shape[2:]), state)
        drawn = self.model.render(self.model.step(state, answer)).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])


#: Names of the tensors in a stage's memory that are the best control model so far.
_PREFIX = "best "


def _named(memory: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_PREFIX): value for name, value in memory.items() if name.startswith(_PREFIX)}


def _held_out(clips: Clips) -> Tensor:
    """(T,) bool, transitions of clips that are held out; none where there are few clips."""
    number = torch.repeat_interleave(torch.arange(len(clips.lengths)), clips.lengths)
    one_in = min(HELD_OUT_ONE_IN, len(clips.lengths))
    return number % one_in == one_in - 1 if one_in > 1 else torch.zeros(len(number), dtype=torch.bool)


@torch.no_grad()
def fit_linear(model: WorldModel, pieces: list[Batch]) -> list[tuple[Tensor, Tensor]]:
    """Answers that are linear in what `Control.told` gives, by least squares.

    One answer differs from the next in what it uses, and in how much it is shrunk, by `RIDGES`: changes of the cell
    itself; changes around it; states too. What uses states expects new clips to show what the recording did, while
    changes may be the same where states are not. Fewer numbers are known better from a short recording.

    Args:
        model: with a control model that knows the spread of latent actions.
        pieces: of clips, as `ControlStage` makes them.

    Returns:
        `Control.linear` and `Control.constant`; none where no clip has two steps.
    """
    control, (count, width, reach) = model.part("control"), model.part("control").linear.shape[:3]
    size, seen = width * reach**2 + 1, 0
    sums = torch.zeros(size + count, size + count, dtype=torch.float64, device=model.device)
    for piece in pieces:
        states, following = (piece[name].to(model.device) for name in ("states", "next"))
        inferred = model.infer(states.flatten(0, 1), following.flatten(0, 1)).unflatten(0, states.shape[:2])
        memory = control.reset(len(states), states.shape[3:])
        past = control.average(memory.past, states[:, 0])
        for t in range(1, states.shape[1]):
            past, inside = control.average(past, states[:, t]), piece["inside"][:, t].to(model.device)
            heard = Memory(memory.hidden, inferred[:, t - 1], past)
            inputs = _around(control.told(heard, states[:, t])[inside], reach)
            answers = (inferred[:, t] / control.spread[:, None, None])[inside]
            both = torch.cat([inputs, answers.movedim(1, 3).flatten(0, 2)], dim=1)
            sums += both.T @ both
            seen += len(both)
    if not seen:
        return []
    return [_solved(sums, size, used, ridge * seen, control.linear) for used in _uses(control) for ridge in RIDGES]


def _uses(control: Control) -> list[Tensor]:
    """(width · reach² + 1,) bool each: which of its inputs a linear part uses; the last of them is 1 everywhere."""
    count, width, reach = control.linear.shape[:3]
    states = torch.zeros(width, reach, reach, dtype=torch.bool)
    states[: width - count - control.averaged] = True
    centre = torch.zeros_like(states)
    centre[:, reach // 2, reach // 2] = True
    kinds = [~states & centre, ~states] if control.averaged else []
    kinds = [torch.cat([kind.flatten(), kind.new_zeros(1)]) for kind in kinds]
    return [*kinds, torch.ones(states.numel() + 1, dtype=torch.bool)]


def _solved(sums: Tensor, size: int, used: Tensor, noise: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """The linear part of the shape of another, and its constant, from sums of products of inputs and answers."""
    chosen = used.nonzero().squeeze(1).to(sums.device)
    ridge = torch.full((len(chosen),), noise, dtype=sums.dtype, device=sums.device)
    ridge[chosen == size - 1] = 1e-9 * noise  # the last input is 1 everywhere
    weights = sums.new_zeros(size, len(like))
    weights[chosen] = torch.linalg.solve(sums[chosen][:, chosen] + ridge.diag(), sums[chosen, size:])
    weights = weights.float()
    return weights[:-1].T.unflatten(1, like.shape[1:]), weights[-1]


def _around(fields: Tensor, reach: int) -> Tensor:
    """(B, n, rows, cols) → (B · rows · cols, n · reach² + 1): what is around each cell, and a 1."""
    inputs = F.unfold(fields, reach, padding=reach // 2).transpose(1, 2).flatten(0, 1)
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
