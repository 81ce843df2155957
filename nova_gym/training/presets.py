"""Recipes of training, and presets: a size of the model with the recipes that suit it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nova_gym.errors import BadInputError
from nova_gym.model.config import ControlConfig, INRConfig, ModelConfig

if TYPE_CHECKING:
    from nova_gym.dream import Dream


@dataclass(frozen=True)
class Recipe:
    """How one stage is trained.

    Attributes:
        steps: optimiser steps.
        batch: frames or clips a step; `dynamics` and `tuning` take so many rollouts and as many single steps.
        learning_rate: peak of the cosine schedule.
        warmup: steps of linear warm-up.
        weight_decay: decoupled, as in AdamW.
        clip: largest gradient norm.
        noise: largest standard deviation of the noise on states, whose mean square is 1.
        final: learning rate at the end of the schedule, as a share of the peak.
        optimizer: `adamw`; `muon`, for recurrent networks; or `soap`, for a network that draws whole frames.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100
    weight_decay: float = 0.0
    clip: float = 0.5
    noise: float = 0.0
    final: float = 0.01
    optimizer: str = "adamw"


@dataclass(frozen=True)
class TrainingConfig:
    """The recipes of the stages (`docs/how-it-works.md`, The stages); None for a stage that a preset is not made for.

    Attributes:
        representation: encoder and renderer, on single frames.
        dynamics: all parts of a step, on encoded transitions and on the model's own rollouts.
        tuning: more of `dynamics`, with what is still wrong shown more often; needs labels.
        control: the generative control model, if the model has one.
        horizon: steps of a rollout at most.
        elsewhere: share of steps by inferred latent actions in which A sees another state of the same clip. So B(u)
            has to tell all that changes within a clip, and A tells the rest; retargeting relies on that.
        margin: how far beyond [0, 1] `representation` aims black and white before clipping, so that these come out
            exactly; 0 aims at 0 and 1 themselves.
        seed: of initial weights, data order and noise.
    """

    representation: Recipe
    dynamics: Recipe
    tuning: Recipe | None = None
    control: Recipe | None = None
    horizon: int = 80
    elsewhere: float = 0.25
    margin: float = 0.0
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy, without the stages that have no recipe."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Preset:
    """A size of the model with the training that suits it.

    Attributes:
        name: its name.
        model: sizes; what follows from the recording is replaced.
        training: recipes.
        whole: whether one network draws the whole frame, as in the paper: the cell is as large as the frame.
    """

    name: str
    model: ModelConfig
    training: TrainingConfig
    whole: bool = False


_TINY = Preset(
    "tiny",
    ModelConfig(
        encoder_widths=(8, 16),
        inr=INRConfig(frequencies=2, width=8, layers=2),
        rank=8,
        latent_action=4,
        hidden=16,
        head_hidden=16,
        codes=8,
        control=ControlConfig(hidden=8),
    ),
    TrainingConfig(
        representation=Recipe(40, 8, 4e-3, warmup=5),
        dynamics=Recipe(30, 16, 4e-3, warmup=5, noise=0.1),
        tuning=Recipe(10, 8, 1e-3, warmup=5, noise=0.1),
        control=Recipe(10, 4, 1e-3, warmup=5, noise=0.05),
        horizon=8,
    ),
)
_CPU = Preset(
    "cpu",
    ModelConfig(codes=64, control=ControlConfig(hidden=16)),
    TrainingConfig(
        representation=Recipe(2_000, 16, 4e-3),
        dynamics=Recipe(3_000, 64, 4e-3, noise=0.1),
        tuning=Recipe(1_000, 64, 1e-3, noise=0.1),
        control=Recipe(400, 16, 2e-3, noise=0.05),
    ),
)
_SINGLE = Preset(
    "single",
    ModelConfig(
        cell=(72, 72),
        encoder_widths=(32, 24, 64),
        inr=INRConfig(frequencies=5, width=20, layers=3),
        rank=32,
        latent_action=16,
        hidden=128,
        reach=1,
        head_hidden=64,
        codes=32,
        control=ControlConfig(hidden=64),
    ),
    TrainingConfig(
        representation=Recipe(5_000, 32, 1e-2, optimizer="soap"),
        dynamics=Recipe(4_000, 512, 3e-3, noise=0.05, optimizer="soap"),
        tuning=Recipe(2_000, 512, 5e-4, noise=0.05, optimizer="soap"),
        control=Recipe(400, 32, 2e-3, noise=0.05),
        horizon=200,
        elsewhere=0.0,
    ),
    whole=True,
)
_DIGITS = Preset(
    "digits",
    ModelConfig(
        frame_size=(64, 64),
        actions=0,
        inr=INRConfig(channels=1, width=16),
        encoder_widths=(48, 96),
        rank=24,
        latent_action=24,
        hidden=64,
        codes=64,
        control=ControlConfig(),
    ),
    TrainingConfig(
        representation=Recipe(4_000, 32, 4e-3),
        dynamics=Recipe(3_000, 64, 2e-3, noise=0.05),
        control=Recipe(2_500, 16, 1e-2, noise=0.05, optimizer="muon"),
        elsewhere=0.0,
        margin=0.1,
    ),
)
_PAPER = Preset(
    "paper",
    ModelConfig(
        cell=(72, 72),
        encoder_widths=(128, 320),
        inr=INRConfig(frequencies=6, layers=5),
        rank=987,
        latent_action=16,
        hidden=1024,
        reach=1,
        depth=3,
        head_hidden=512,
        codes=512,
        control=ControlConfig(hidden=384),
    ),
    TrainingConfig(
        representation=Recipe(400_000, 64, 3e-4, warmup=1000, weight_decay=0.01),
        dynamics=Recipe(150_000, 256, 3e-4, warmup=1000, weight_decay=0.1, noise=0.1),
        tuning=Recipe(20_000, 256, 3e-5, warmup=1000, weight_decay=0.1, noise=0.05),
        control=Recipe(50_000, 256, 3e-4, warmup=1000, weight_decay=0.01, noise=0.03),
    ),
    whole=True,
)

#: `tiny` for tests, `cpu` for MiniGrid on a CPU, `digits` for moving digits, `paper` for one network on one GPU.
PRESETS = {preset.name: preset for preset in (_TINY, _CPU, _SINGLE, _DIGITS, _PAPER)}


def preset(name: str, **model: Any) -> Preset:
    """A preset by its name, with the given fields of its model changed.

    Raises:
        BadInputError: there is no such preset.
    """
    if name not in PRESETS:
        raise BadInputError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    chosen = PRESETS[name]
    return replace(chosen, model=replace(chosen.model, **model))


def preset_of(dream: Dream, stage: str) -> Preset:
    """The preset that a dream was trained by, for training it further.

    Args:
        dream: its card names the preset.
        stage: a field of `TrainingConfig`, or `codebook` or `doubt`, which need no recipe.

    Returns:
        That preset; `cpu` where the card names an unknown preset, or one without a recipe for the stage.
    """
    named = PRESETS.get(dream.card.training.get("preset", ""))
    lacks = named is None or (stage not in ("codebook", "doubt") and getattr(named.training, stage) is None)
    return PRESETS["cpu"] if lacks else named
