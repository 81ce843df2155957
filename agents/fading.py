"""Less and less pay for acting at random."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from nova_gym.agents.curve import RealityCheck

#: Share of the training after which nothing is paid any more. What is left is for what an agent is tested by.
FADED = 2 / 3


class FadingEntropy(BaseCallback):
    """Lets SB3's `ent_coef` fall to 0 in a straight line over most of the training of PPO or A2C.

    While it is paid for, an agent keeps away from an edge that it might step over at random, even where the shortest
    way leads along it. And it would rather live on than come to an end that pays.

    Args:
        check: knows how much of the training is done.
    """

    def __init__(self, check: RealityCheck) -> None:
        super().__init__()
        self.check = check

    def _on_training_start(self) -> None:
        self.first = getattr(self.model, "ent_coef", None)

    def _on_rollout_start(self) -> None:
        if isinstance(self.first, float):  # SAC has its own way, "auto"
            self.model.ent_coef = self.first * max(0.0, 1.0 - self.check.share / FADED)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if isinstance(self.first, float):
            self.model.ent_coef = self.first  # for a training that goes on
