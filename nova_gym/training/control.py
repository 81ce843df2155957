"""Training the generative control model, by action matching with everything else frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.control import Memory
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
HELD_OUT_ONE_IN, LOOKS, LOOKED_AT = 10, 10, 12
#: Cells of transitions that the linear part is computed from, about, and how much it may be shrunk: as by noise of such
#: variance on what it reads, whose mean square is 1.
CELLS, RIDGES = 150_000, (1e-3, 1e-2, 1e-1, 1.0, 10.0)
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

    name, trains = "control", ("control",)

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
        """Pieces of clips from some transitions on, of which rollouts follow so many steps."""
        offsets = torch.arange(self.length)
        inside = offsets < self.clips.remaining[chosen, None]
        transitions = torch.where(inside, chosen[:, None] + offsets, chosen[:, None])
        source = self.clips.source[transitions]
        return {
            "states": self.states[source],
            "next": self.states[source + 1],
            "inside": inside,
            "context": torch.tensor(context),
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
        for linear, constant in fit_linear(model, clips, self.states, _held_out(clips)):
            control.linear.copy_(linear)
            control.constant.copy_(constant)
            if (error := float(self._error())) < best[0]:
                best = error, linear, constant
        control.linear.copy_(best[1])
        control.constant.copy_(best[2])

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
        half = self.length // 2
        batch = {key: value.to(self.model.device) for key, value in self._pieces(self.watched, half).items()}
        states, following = batch["states"], batch["next"]
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
            hidden = control.listen(memory, state)
            answer = control.answer(hidden, state, memory.latent_action)
            rolled.append(state)
            answers.append(answer)
            latent_action = targets[:, t] if t < context else answer.detach().clamp(-1.0, 1.0)
            memory = Memory(hidden, latent_action)
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
def fit_linear(model: WorldModel, clips: Clips, states: Tensor, held_out: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Answers that are linear in the last pair and the query, by least squares, each shrunk by another of `RIDGES`.

    Args:
        model: with a control model that knows the spread of latent actions.
        clips: the recording.
        states: (F, K, rows, cols) float32 of all its frames.
        held_out: (T,) bool, transitions to leave out.

    Returns:
        `Control.linear` and `Control.constant`; none where no clip has two steps.
    """
    control, cells = model.part("control"), states.shape[2] * states.shape[3]
    chosen = ((clips.position > 0) & ~held_out).nonzero().squeeze(1)
    if not len(chosen):
        return []
    reach, sums = control.linear.shape[-1], torch.zeros((), dtype=torch.float64, device=model.device)
    for transitions in chosen[:: -(-len(chosen) * cells // CELLS)].split(32):
        now = clips.source[transitions]
        before, state, following = (states[now + step].to(model.device) for step in (-1, 0, 1))
        inputs = _around(control.pair(state, model.infer(before, state)), reach)
        answers = model.infer(state, following) / control.spread[:, None, None]
        both = torch.cat([inputs, answers.movedim(1, 3).flatten(0, 2)], dim=1)
        sums = sums + (both.T @ both).double()
    count = len(sums) - len(control.spread)
    found = []
    for ridge in RIDGES:
        noise = torch.full((count,), ridge, dtype=sums.dtype, device=sums.device) * sums[count - 1, count - 1]
        noise[-1] = 0.0  # the last input is 1 everywhere
        weights = torch.linalg.solve(sums[:count, :count] + noise.diag(), sums[:count, count:]).float()
        found.append((weights[:-1].T.unflatten(1, control.linear.shape[1:]), weights[-1]))
    return found


def _around(fields: Tensor, reach: int) -> Tensor:
    """(B, n, rows, cols) → (B · rows · cols, n · reach² + 1): what is around each cell, and a 1."""
    inputs = F.unfold(fields, reach, padding=reach // 2).transpose(1, 2).flatten(0, 1)
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
