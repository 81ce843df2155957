"""The rows of the suite: which environments, what each tests, and what counts as good there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: How a score is told: the share of successes; the return; the return as a share of the best policy's; the return that
#: must not be below the best policy's; and the scale where 0 is acting at random and 1 the same algorithm in reality.
MEASURES = ("success", "return", "share of the best", "best return", "normalised")


@dataclass(frozen=True)
class Teacher:
    """The same algorithm, trained in reality to the end: the 1 of normalised scores.

    It learns from the environment's own observations of its state, which are easier to learn from than frames.

    Attributes:
        algorithm: `ppo` or `sac`, as the agent in the dream.
        steps: in reality, all environments together.
        envs: environments stepped as one batch.
        settings: SB3's keyword arguments, those of RL Baselines3 Zoo.
        normalised: whether observations and rewards are scaled by their running spread.
        views: wrappers, `module:callable`, after which observations show the whole state.
    """

    algorithm: str
    steps: int
    envs: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    normalised: bool = False
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One environment of the suite.

    Attributes:
        name: of its files.
        env_id: Gymnasium id, `module:` prefix allowed.
        tests: what is hard about it, in a few words.
        measure: one of `MEASURES`, that target and goal are of.
        target, goal: at least so much; None for no target, and for `best return`, whose target is that return.
        transitions: to record.
        size: (height, width) of frames in pixels; None for what suits.
        teacher: for `normalised`; for environments whose transitions are known (`env.unwrapped.P`) the best policy is
            computed instead.
        note: what a reader must know of the row.
    """

    name: str
    env_id: str
    tests: str
    measure: str
    target: float | None = None
    goal: float | None = None
    transitions: int = 60_000
    size: tuple[int, int] | None = None
    teacher: Teacher | None = None
    note: str = ""


_GRID = {"target": 0.95, "goal": 0.99, "transitions": 120_000}
_STATE = ("minigrid.wrappers:FullyObsWrapper", "nova_gym.benchmarks.suite.references:OneHotGrid")
_ATARI = (
    "frames of 80 × 80, since their sides are multiples of 8; 4 frames a step, sticky actions, as Gymnasium has it; "
    "needs `pip install 'gymnasium[atari]'`"
)

_ROWS = (
    Row("lava-crossing", "MiniGrid-LavaCrossingS9N2-v0", "death", "success", **_GRID),
    Row("door-key", "MiniGrid-DoorKey-6x6-v0", "carrying, doors", "success", **_GRID),
    Row("multi-room", "MiniGrid-MultiRoom-N2-S4-v0", "doors; large frames", "success", 0.95, 0.99, 40_000),
    Row("unlock-pickup", "MiniGrid-UnlockPickup-v0", "carrying, objects", "success", **_GRID),
    Row(
        "dynamic-obstacles",
        "MiniGrid-Dynamic-Obstacles-6x6-v0",
        "chance",
        "normalised",
        0.95,
        1.0,
        120_000,
        teacher=Teacher(
            "ppo",
            600_000,
            8,
            {"n_steps": 256, "batch_size": 256, "learning_rate": 1e-3, "ent_coef": 0.02},  # else it learns to stand
            views=_STATE,
        ),
    ),
    Row(
        "frozen-lake", "FrozenLake-v1", "chance, no walls in sight", "share of the best", 0.95, 1.0, transitions=100_000
    ),
    Row("cliff-walking", "CliffWalking-v1", "not square", "best return", transitions=20_000),
    Row("taxi", "Taxi-v4", "many objects", "best return", note="Taxi-v3 is deprecated"),
    Row("cart-pole", "CartPole-v1", "velocity", "return", 450.0, 500.0, teacher=Teacher("ppo", 100_000, 8)),
    Row(
        "mountain-car",
        "MountainCar-v0",
        "velocity, sparse",
        "normalised",
        0.9,
        1.0,
        teacher=Teacher(
            "ppo", 1_000_000, 16, {"n_steps": 16, "n_epochs": 4, "batch_size": 64, "gae_lambda": 0.98}, True
        ),
    ),
    Row(
        "acrobot",
        "Acrobot-v1",
        "velocity, sparse",
        "normalised",
        0.9,
        1.0,
        teacher=Teacher(
            "ppo", 1_000_000, 16, {"n_steps": 256, "n_epochs": 4, "batch_size": 64, "gae_lambda": 0.94}, True
        ),
    ),
    Row(
        "pendulum",
        "Pendulum-v1",
        "continuous",
        "normalised",
        0.9,
        1.0,
        teacher=Teacher("sac", 20_000, settings={"learning_rate": 1e-3}),
    ),
    Row(
        "mountain-car-continuous",
        "MountainCarContinuous-v0",
        "continuous, sparse",
        "normalised",
        0.9,
        1.0,
        teacher=Teacher(
            "sac",
            50_000,
            settings={
                "batch_size": 512,
                "ent_coef": 0.1,
                "train_freq": 32,
                "gradient_steps": 32,
                "gamma": 0.9999,
                "tau": 0.01,
                "learning_starts": 0,
                "use_sde": True,
                "policy_kwargs": {"log_std_init": -3.67, "net_arch": [64, 64]},
            },
        ),
    ),
    Row(
        "lunar-lander",
        "LunarLander-v3",
        "contact",
        "normalised",
        0.7,
        1.0,
        100_000,
        teacher=Teacher(
            "ppo",
            1_000_000,
            16,
            {
                "n_steps": 1024,
                "batch_size": 64,
                "n_epochs": 4,
                "gamma": 0.999,
                "gae_lambda": 0.98,
                "ent_coef": 0.01,
            },
        ),
        note="needs `pip install 'gymnasium[box2d]'`",
    ),
    Row("pong", "ale_py:ALE/Pong-v5", "fast, small, chance", "return", size=(80, 80), note=_ATARI),
    Row("breakout", "ale_py:ALE/Breakout-v5", "fast, small, chance", "return", size=(80, 80), note=_ATARI),
)

#: By name.
ROWS = {row.name: row for row in _ROWS}
