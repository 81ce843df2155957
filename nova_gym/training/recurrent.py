"""Training a step that depends on memory, or on chance: rollouts over several steps, with gradients through memory."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nova_gym.data import Clips
from nova_gym.model import chance as chances
from nova_gym.model.heads import two_hot
from nova_gym.model.world_model import WorldModel
from nova_gym.training.dynamics import MATCHING, MISTAKEN, OUTCOME, QUIET, REVERSED, Dynamics
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.rare import even_out, favour_rare
from nova_gym.training.stage import Batch, Metrics

#: Steps of a rollout in one step of the optimiser; gradients reach so far back through the memory.
SPAN = 8
#: Rollouts in a step of the optimiser, as a share of the recipe's batch: each of them takes `SPAN` steps in it.
ROLLOUTS = 0.25
#: A rollout follows the recording for up to so many steps before it goes on alone. In a share of them the actions of
#: those steps are not told, as where a dream begins from frames alone.
CONTEXT, UNTOLD = 12, 0.2
#: What it costs that outcomes tell something: so much of a lost cell's error for each nat, at first and at last. It is
#: cheap until outcomes have a meaning. Then it is dear, so that nothing is told twice: what two cells tell alike has to
#: be drawn alike, which is hard for cells that do not see each other. But to take two outcomes for one that differ in a
#: single cell, with odds of one in ten, costs half of a lost cell's error for each nat saved, and must not pay.
PRICE = (0.05, 0.15)
#: Share of the training in which both stay as they are at first.
CHEAP = 0.4
#: Temperature at which outcomes are explained, at first and at last: in the end they say for certain what happened. So
#: each costs all that it takes to expect it, and a cell in which nothing happens by chance has one outcome. At first
#: what an explanation leaves open is free, since all that outcomes could say would cost more than what they do say.
WARMTH = (1.0, 0.1)
#: Weight of learning to expect what happened.
EXPECTING = 0.1


class RecurrentDynamics(Dynamics):
    """`Dynamics` of a model with memory or chance.

    Rollouts span many steps of the optimiser, as in `Dynamics`. In each of them they take `SPAN` steps, and gradients
    go back through the memory over these. Where one network draws the whole frame and nothing happens by chance, they
    go back through the states as well (backpropagation through time): a velocity that is slightly wrong shows in no
    picture but in those that follow. A rollout first follows the recording, which fills its memory, and then goes on
    from its own predictions.

    What happens by chance is explained from the true next state while training, at a price for each nat, and expected
    from the present state otherwise (arXiv 2010.02193, in each cell). So rollouts follow the outcome that the recording
    shows, and none of them has to predict the mean of several.
    """

    trains = (*Dynamics.trains, "memory", "chance")

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        # what is drawn more often because of what follows must not seem more likely
        shown = even_out(clips, states) if model.has_chance else favour_rare(clips, 2 * SPAN)
        super().__init__(model, shown, states, config)
        self.official = torch.tensor([name == "official" for name in clips.starts])[
            torch.repeat_interleave(torch.arange(len(clips.lengths)), clips.lengths)
        ]

    def batch(self, generator: Generator, progress: float) -> Batch:
        at = self._at(generator)
        steps = torch.arange(SPAN)
        valid = (steps < self.clips.remaining[at, None]) & (self.memory["steps"][:, None] + steps < self.horizon)
        transitions = torch.where(valid, at[:, None] + steps, at[:, None])
        source = self.clips.source[transitions]
        single = self.clips.draw(self.recipe.batch, generator)
        backwards = torch.rand(len(single), generator=generator)[:, None, None, None] < REVERSED
        begin, end = self.states[self.clips.source[single]], self.states[self.clips.source[single] + 1]
        content = self.states[self.clips.elsewhere(single, self.clips.source[single], self.elsewhere, generator)]
        beyond, final = self._beyond(at, valid, transitions)
        taught = torch.where(beyond, final, transitions)
        shape = (len(at), SPAN, *self.states.shape[2:])
        share = 1.0 if self.name == "tuning" else max(0.0, (progress - CHEAP) / (1.0 - CHEAP))
        return {
            "state": self.memory["state"],
            "official": self.memory["official"],
            "fresh": self.memory["steps"] == 0,
            "before": self.states[source],
            "after": self.states[source + 1],
            "valid": valid,
            "beyond": beyond,
            "told": (self.memory["steps"][:, None] + steps) < self.memory["context"][:, None],
            "mute": self.memory["mute"],
            "noise": torch.randn((*shape[:2], *self.states.shape[1:]), generator=generator)
            * torch.rand(len(at), 1, 1, 1, 1, generator=generator)
            * self.recipe.noise,
            "price": torch.tensor(PRICE[0] + (PRICE[1] - PRICE[0]) * share),
            "open": torch.tensor(1.0 - share),
            "warmth": torch.tensor(WARMTH[0] + (WARMTH[1] - WARMTH[0]) * share),
            "uniform": torch.rand(shape, generator=generator),
            "turn": torch.rand(shape[:2], generator=generator),
            "from": torch.where(backwards, end, begin),
            "to": torch.where(backwards, begin, end),
            "content": torch.where(backwards, end, content) + self._noise(begin.shape, generator),
            # beyond an end any action: that of another rollout
            "actions": self.clips.actions[torch.where(beyond, at.roll(1)[:, None], transitions)],
            "rewards": self.clips.rewards[taught],
            "terminations": self.clips.terminations[taught].float(),
        }

    def _beyond(self, at: Tensor, valid: Tensor, transitions: Tensor) -> tuple[Tensor, Tensor]:
        """Steps after the end of an episode, and the transition that ends it.

        A dream that overlooks an end goes on where no recording was, and would never end. So every step from there, by
        whatever action, is taught to be that end, with what it pays.

        Returns:
            (B, SPAN) bool, none where an end may be left to chance; (B, 1) int64.
        """
        last = (self.clips.remaining[at] - 1)[:, None]  # step of the clip, counted from here
        inside = last.clamp(max=SPAN - 1)
        end = transitions.gather(1, inside)
        ended = self.clips.terminations[end] & valid.gather(1, inside) & (last < SPAN)
        return ended & (torch.arange(SPAN) > last) & (not self.model.has_chance), end

    def _at(self, generator: Generator) -> Tensor:
        """(B,) int64 transitions that the rollouts are at, after new ones have replaced those that are over.

        A new rollout begins at a drawn transition, or at the beginning of its clip if that is an official start.
        """
        drawn = self.clips.draw(max(1, round(ROLLOUTS * self.recipe.batch)), generator)
        first = drawn - self.clips.position[drawn]
        early = self.official[drawn] & (torch.rand(len(drawn), generator=generator) < 0.25)
        fresh = torch.where(early, first, drawn)
        state = self.states[self.clips.source[fresh]]
        memory = state.new_zeros(len(state), self.model.config.memory, *state.shape[2:])
        new = {
            "state": torch.cat([state + self._noise(state.shape, generator), memory], dim=1),
            "at": fresh,
            "steps": torch.zeros_like(fresh),
            "official": self.official[fresh] & (self.clips.position[fresh] == 0),
            "context": torch.randint(0, CONTEXT + 1, fresh.shape, generator=generator),
            "mute": torch.rand(len(fresh), generator=generator) < UNTOLD,
        }
        if self.memory:
            over = self.memory["over"]
            shaped = {key: over.view(-1, *[1] * (value.ndim - 1)) for key, value in new.items()}
            new = {key: torch.where(shaped[key], value, self.memory[key]) for key, value in new.items()}
        self.memory = new
        return new["at"]

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        shown = self.model.infer(batch["from"], batch["to"])
        inverse = F.mse_loss(self.model.step(batch["content"], shown), batch["to"])
        still = ~self.changes.changed(batch["from"], batch["to"])
        quiet = (shown.square().mean(1) * still).sum() / still.sum().clamp(min=1)
        loss, metrics = self._roll(batch)
        return loss + inverse + QUIET * quiet, {**metrics, "inverse": inverse, "quiet": quiet}

    def _roll(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """The loss of all rollouts over `SPAN` steps, after which they have moved on."""
        model, state = self.model, batch["state"]
        if model.has_memory:  # where an episode begins, the memory is a parameter
            begun = model.begin(model.seen(state), official=True)
            state = torch.where((batch["official"] & batch["fresh"])[:, None, None, None], begun, state)
        through = model.config.cells == (1, 1) and not model.has_chance  # outcomes would tell of later steps
        sums: dict[str, list[Tensor]] = {}
        seen: dict[str, list[Tensor]] = {}
        lost = torch.zeros(len(state), dtype=torch.bool, device=state.device)
        taken = torch.zeros(len(state), dtype=torch.int64, device=state.device)
        with torch.no_grad():
            inferred = model.infer(*(batch[name].flatten(0, 1) for name in ("before", "after")))
            inferred = inferred.unflatten(0, batch["valid"].shape)
        for t in range(SPAN):
            valid, beyond = batch["valid"][:, t] & ~lost, batch["beyond"][:, t] & ~lost
            after, told = batch["after"][:, t], batch["told"][:, t] & ~beyond
            reached, latent_action, terms = self._step(state, batch, inferred, t)
            error = (reached - after).square().mean(1)
            settled = model.settle(state, reached, self.changes.dead_band)
            settled = settled if through else settled.detach()
            near = error.detach().flatten(1).amax(1) < self.changes.lost
            near &= ~self.changes.astray(model, settled.detach(), after)
            if model.looks is not None:
                terms["mistaken"] = self.changes.mistaken(model, state, reached, batch["before"][:, t], after)
            for name, term in {**terms, "rollout": error.mean((1, 2))}.items():
                sums.setdefault(name, []).append(term * valid)
            own = torch.cat([model.seen(state).detach(), state[:, model.config.rank :]], dim=1)  # heads move no state
            step = {"state": own, "settled": settled.detach(), "near": near, "latent": latent_action.detach()}
            for name, value in {**step, "valid": valid, "beyond": beyond}.items():
                seen.setdefault(name, []).append(value)
            following = torch.where(told[:, None, None, None], after + batch["noise"][:, t], settled)
            heard = model.recall(state, following, batch["actions"][:, t], ~(told & batch["mute"]))
            state = torch.where((valid | beyond)[:, None, None, None], heard, state)
            taken += valid
            lost |= valid & ~told & ~near
        together = {name: torch.stack(values, 1).flatten(0, 1) for name, values in seen.items()}
        sums["outcome"] = [self._outcome_loss(together, batch)]
        count = batch["valid"].sum().clamp(min=1)
        means = {name: torch.stack(values).sum() / count for name, values in sums.items()}
        self._moved(state.detach(), taken, lost, batch)
        cells = state.shape[2] * state.shape[3]
        weights = {
            "rollout": 1.0,
            "matching": MATCHING,
            "outcome": OUTCOME,
            "mistaken": MISTAKEN,
            "told": float(batch["price"]) * (self.changes.lost if math.isfinite(self.changes.lost) else 1.0) / cells,
            "expected": EXPECTING,
        }
        loss = sum(weights[name] * mean for name, mean in means.items())
        steps = self.memory["steps"].float().mean()
        return loss, {**means, "lost": lost.float().mean(), "length": steps}

    def _step(self, state: Tensor, batch: Batch, inferred: Tensor, t: int) -> tuple[Tensor, Tensor, Metrics]:
        """One step of all rollouts: what they reach, by which latent actions, and terms of the loss for each."""
        model, actions = self.model, batch["actions"][:, t]
        outcomes, terms = None, {}
        if model.has_chance:
            outcomes, terms = self._explained(state, batch, t)
        latent_action = model.translate(state, actions, outcomes)
        size = inferred[:, t].square().mean().clamp(min=1e-8)
        terms["matching"] = (latent_action - inferred[:, t]).square().mean((1, 2, 3)) / size
        return model.step(state, latent_action), latent_action, terms

    def _explained(self, state: Tensor, batch: Batch, t: int) -> tuple[Tensor, Metrics]:
        """Outcomes as the true next state explains them, with gradients straight through, and what they tell."""
        after, actions = batch["after"][:, t], batch["actions"][:, t]
        chance = self.parts["chance"]
        happened = (chance.explain(state, after) / batch["warmth"]).log_softmax(1)
        hard = chances.pick(happened.detach(), batch["uniform"][:, t])
        outcomes = hard + happened.exp() - happened.exp().detach()
        turn = chances.turns(*state.shape[2:], state.device)  # one of them, drawn for each rollout, stands for all
        count = int(turn.max()) + 1
        now = (batch["turn"][:, t] * count).long()[:, None, None]
        expected = chance.expect(state, self.model.as_numbers(actions, len(state)), hard * (turn < now)[:, None])
        counts = count * (turn == now)
        told = (happened.exp() * (batch["open"] * happened - expected.detach())).sum(1)
        learned = -(hard * expected).sum(1)
        told, learned = (told * counts).sum((1, 2)), (learned * counts).sum((1, 2))
        return outcomes, {"told": told, "expected": learned}

    def _outcome_loss(self, steps: Batch, batch: Batch) -> Tensor:
        """(B · SPAN,) float32, of reward and termination of all steps that count.

        Every other rollout is judged by true states with noise, the others by their own, as in a dream: there a cell
        may have moved a little that should be still. One that is `near` the truth no more is judged by that, too.

        Args:
            steps: `state`, `settled`, `near`, `latent`, `valid` and `beyond` of all steps, rollout by rollout.
            batch: what they were to follow.
        """
        model, (state, settled) = self.model, (steps["state"], steps["settled"])
        before, after, noise = (batch[name].flatten(0, 1) for name in ("before", "after", "noise"))
        actions, rewards, ended = (batch[name].flatten(0, 1) for name in ("actions", "rewards", "terminations"))
        seen, rollout = model.seen(state), torch.arange(len(state), device=state.device) // SPAN
        own = (steps["near"] & (rollout % 2 == 1) | steps["beyond"])[:, None, None, None]
        changed = torch.where(own[:, 0], (seen != settled).any(1), self.changes.changed(before, after))
        shown = torch.where(own, seen, before + noise), torch.where(own, settled, after + noise.flip(0))
        heads = self.parts["heads"]
        reward, termination = heads(shown[0], steps["latent"], shown[1], changed, model.besides(state, actions))
        told = -(two_hot(rewards, heads.values) * reward.log_softmax(-1)).sum(-1)
        over = F.binary_cross_entropy_with_logits(termination, ended, reduction="none")
        return (told + over) * (steps["valid"] | steps["beyond"])

    def _moved(self, state: Tensor, taken: Tensor, lost: Tensor, batch: Batch) -> None:
        """Moves the rollouts on."""
        memory, taken, lost = self.memory, taken.cpu(), lost.cpu()
        at, steps = memory["at"] + taken, memory["steps"] + taken
        over = lost | ~batch["valid"].cpu().all(1) | (steps >= self.horizon)
        over |= self.clips.remaining[memory["at"]] <= SPAN
        at = at.clamp(max=len(self.clips.source) - 1)
        self.memory = {**memory, "state": state.float().cpu(), "at": at, "steps": steps, "over": over}


class RecurrentTuning(RecurrentDynamics):
    """More of the same at a lower learning rate."""

    name = "tuning"
