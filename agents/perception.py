"""What an agent perceives of a dream with memory: what it would of real frames."""

from __future__ import annotations

import numpy as np
import torch

from nova_gym.model.world_model import WorldModel

#: Errors are so many times those that were measured: along the recording's own play, which an agent leaves.
LARGER = 2.0


class Perception:
    """Lets an agent observe dreams with memory as it will observe reality.

    A dream knows its own state, velocities included. In reality a memory has to find them out from frames that are
    never quite what was foreseen. An agent that learned from the dream's own knowledge is lost there: of CartPole it
    holds the pole far longer in the dream. So here a second memory hears each frame with errors as real frames have
    (`RecurrentMemory.unforeseen`), and the agent observes that. The dream itself goes on undisturbed. This is domain
    randomisation (arXiv 1703.06907) with an error that was measured.

    Args:
        model: with a memory.
        seed: of the errors.
    """

    def __init__(self, model: WorldModel, seed: int = 0) -> None:
        self.model, self.states = model, torch.zeros(0)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begins the errors anew."""
        self._generator = torch.Generator().manual_seed(seed)

    def begin(self, observed: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
        """Episodes begin: what is perceived then is what the dreams are.

        Args:
            observed: (N, K + M, rows, cols) float32, the states of the dreams.
            which: (N,) bool, of which dreams; None for all.

        Returns:
            What is perceived of all dreams, as `observed`.
        """
        states = torch.from_numpy(np.array(observed))
        if which is not None:
            states = torch.where(torch.from_numpy(which)[:, None, None, None], states, self.states)
        self.states = states
        return states.numpy().copy()

    @torch.no_grad()
    def hear(self, observed: np.ndarray, actions: np.ndarray | None) -> np.ndarray:
        """The dreams have made a step.

        Args:
            observed: (N, K + M, rows, cols) float32, their states after it.
            actions: (N,) int64 or (N, A) float32, the model's; None if they are not known.

        Returns:
            What is perceived, as `observed`.
        """
        model = self.model
        shown = torch.from_numpy(np.array(observed[:, : model.config.rank]))
        drawn = torch.randn(shown.shape, generator=self._generator)
        unforeseen = LARGER * model.part("memory").unforeseen.cpu()
        shown += torch.einsum("ij,bjrc->birc", unforeseen, drawn)
        device, acted = model.device, None if actions is None else torch.as_tensor(actions).to(model.device)
        self.states = model.recall(self.states.to(device), shown.to(device), acted).cpu()
        return self.states.numpy().copy()
