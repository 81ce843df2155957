"""The codebook: few latent actions that stand for all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.cluster import kmeans_plusplus
from torch import Generator, Tensor

from nova_gym.data import Clips, to_unit
from nova_gym.model.codebook import Codebook
from nova_gym.model.world_model import WorldModel
from nova_gym.training.presets import TrainingConfig
from nova_gym.training.stage import Batch, Metrics, Stage

#: Latent actions that the first codes are chosen from, by k-means++.
SAMPLE = 10_000
#: Running mean of usage: weight of what was. A code whose usage falls below this share of an equal one is dead.
MEMORY, DEAD = 0.99, 0.01


class CodebookStage(Stage):
    """Vector quantisation of what the inverse dynamics infer; everything else stays (arXiv 2605.06298, codebook).

    Codes go to where latent actions are (codebook loss) and to where they predict the next state. Training the
    inverse dynamics along with them (straight-through gradient, commitment loss; arXiv 1711.00937) would change what
    the rest of the dream was trained with, and for the worse where motion is not discrete.
    A dead code starts anew at a latent action of the batch, the more probably the worse that one is represented.
    """

    name, trains = "codebook", ("codebook",)

    def __init__(self, model: WorldModel, clips: Clips, states: Tensor, config: TrainingConfig) -> None:
        super().__init__(model, clips, config.codebook)
        self.states = states

    @property
    def codebook(self) -> Codebook:
        """The part that it trains."""
        return self.parts["codebook"]

    def batch(self, generator: Generator, progress: float) -> Batch:
        source = self.clips.source[torch.randint(len(self.clips.source), (self.recipe.batch,), generator=generator)]
        chances = torch.rand(len(self.codebook.codes), generator=generator)
        return {"state": self.states[source], "next": self.states[source + 1], "chances": chances}

    def forward(self, batch: Batch) -> tuple[Tensor, Metrics]:
        inferred = self.model.infer(batch["state"], batch["next"])
        codes = self.model.decode(indices := self.model.nearest_code(inferred))
        predicted = F.mse_loss(self.model.step(batch["state"], codes), batch["next"])
        distance = F.mse_loss(codes, inferred) / inferred.var()
        self._count(inferred, indices, batch["chances"])
        metrics = {"prediction": predicted, "distance": distance, "perplexity": self.codebook.perplexity()}
        return predicted + distance, metrics

    @torch.no_grad()
    def _count(self, inferred: Tensor, indices: Tensor, chances: Tensor) -> None:
        """Keeps the running usage and revives dead codes."""
        book = self.codebook
        counts = torch.bincount(indices, minlength=len(book.codes)) / len(indices)
        book.usage.mul_(MEMORY).add_(counts, alpha=1.0 - MEMORY)
        dead = (book.usage < DEAD / len(book.codes)).nonzero().squeeze(1)
        distances = (inferred - book.codes[indices]).square().sum(1)
        if len(dead) and float(distances.sum()) > 0:
            up_to = torch.cumsum(distances, 0) / distances.sum()
            chosen = torch.searchsorted(up_to, chances[dead]).clamp(max=len(inferred) - 1)
            book.codes[dead] = inferred[chosen]
            book.usage[dead] = 1.0 / len(book.codes)

    @torch.no_grad()
    def pictures(self) -> Tensor:
        source = self.clips.source[:: max(1, len(self.clips.source) // 8)][:8]
        state, following = (self.states[i].to(self.model.device) for i in (source, source + 1))
        codes = self.model.decode(self.model.nearest_code(self.model.infer(state, following)))
        drawn = self.model.render(self.model.step(state, codes)).cpu()
        return torch.cat([to_unit(self.clips.frames[source + 1]), drawn])


@torch.no_grad()
def first_codes(model: WorldModel, latent_actions: Tensor, generator: Generator) -> None:
    """Sets the codes to latent actions far from each other, by k-means++.

    Args:
        model: changed in place.
        latent_actions: (T, U) of all transitions.
        generator: of the choice.
    """
    sample = latent_actions[torch.randperm(len(latent_actions), generator=generator)[:SAMPLE]]
    book = model.part("codebook")
    seed = int(torch.randint(2**31, (), generator=generator))
    chosen, _ = kmeans_plusplus(sample.numpy(), min(len(book.codes), len(sample)), random_state=seed)
    book.codes[: len(chosen)] = torch.from_numpy(chosen).to(book.codes)
    book.usage.fill_(1.0 / len(book.codes))
