"""What PPO is paid for acting at random."""

from types import SimpleNamespace

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from nova_gym.agents import DreamVecEnv
from nova_gym.agents.fading import FADED, FadingEntropy


def test_acting_at_random_is_paid_less_and_less_and_then_not_at_all(tiny):
    check = SimpleNamespace(share=0.0)
    agent = PPO("MlpPolicy", DreamVecEnv(tiny, 2), n_steps=2, batch_size=4, ent_coef=0.03, device="cpu")
    paid = []

    class Note(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            paid.append(self.model.ent_coef)
            check.share += 0.25

    agent.learn(4 * 4, callback=[FadingEntropy(check), Note()])
    assert paid == pytest.approx([0.03, 0.03 * (1 - 0.25 / FADED), 0.03 * (1 - 0.5 / FADED), 0.0])
    assert agent.ent_coef == 0.03  # for a training that goes on
