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
        batch: frames, transitions or clips a step; in `unrolling` and `tuning` as many roll-outs and single steps each.
        learning_rate: peak of the cosine schedule.
        warmup: steps of linear warm-up.
        weight_decay: decoupled, as in AdamW.
        clip: largest gradient norm.
        noise: largest standard deviation of the noise on states, whose mean square is 1.
        final: what the schedule ends at, as a share of its peak.
        optimizer: `adamw`, or `soap` (arXiv 2409.11321), for networks of dense layers.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 0.5
    noise: float = 0.0
    final: float = 0.01
    optimizer: str = "adamw"


@dataclass(frozen=True)
class TrainingConfig:
    """The recipes of the stages; a stage that a preset is not made for has none (`docs/how-it-works.md`).

    Attributes:
        representation: encoder and renderer, on single frames.
        rendering: base weights and basis alone, between the centres of pixels as well.
        dynamics: A, B and the inverse dynamics, on encoded transitions.
        unrolling: all that steps, on the model's own roll-outs.
        grounding: action bridge and heads, on labelled transitions.
        tuning: more of `unrolling`, with what is still wrong shown more often; needs labels.
        codebook: the codes of latent actions, if the model has a codebook.
        control: the generative control model, if the model has one.
        horizon: steps of a roll-out at most.
        near: mean squared distance of states (mean square 1) below which a roll-out counts as near the truth; on
            MiniGrid, where a step changes 0.3, a thirtieth of that.
        elsewhere: share of steps by inferred latent actions in which A sees another state of the same clip. So B(u)
            has to tell all that changes within a clip, and A tells the rest; retargeting relies on that.
        pixels: share of a frame's pixels that `representation` renders a step.
        margin: how far beyond their range the stages `representation` and `rendering` are to draw black and white,
            before clipping, so that they come out exactly; 0: within it.
        seed: of initial weights, data order and noise.
    """

    representation: Recipe
    rendering: Recipe
    dynamics: Recipe
    unrolling: Recipe
    grounding: Recipe | None = None
    tuning: Recipe | None = None
    codebook: Recipe | None = None
    control: Recipe | None = None
    horizon: int = 80
    near: float = 0.01
    elsewhere: float = 0.25
    pixels: float = 0.5
    margin: float = 0.0
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy, without the stages that have no recipe."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Preset:
    """A size of the model with the training that suits it."""

    name: str
    model: ModelConfig
    training: TrainingConfig


_TINY = Preset(
    "tiny",
    ModelConfig(
        encoder_widths=(8, 16, 8),
        inr=INRConfig(frequencies=4, width=8, layers=2),
        rank=16,
        latent_action=4,
        hidden=32,
        depth=1,
        head_hidden=16,
        codes=8,
        control=ControlConfig(hidden=16),
    ),
    TrainingConfig(
        representation=Recipe(20, 8, 1e-3, warmup=5),
        dynamics=Recipe(20, 32, 3e-3, warmup=5, optimizer="soap"),
        grounding=Recipe(20, 32, 3e-3, warmup=5, noise=0.03, optimizer="soap"),
        unrolling=Recipe(10, 8, 1e-3, warmup=5, noise=0.1, optimizer="soap"),
        tuning=Recipe(10, 8, 3e-4, warmup=5, noise=0.05, optimizer="soap"),
        rendering=Recipe(10, 8, 1e-4, warmup=5, noise=0.02),
        codebook=Recipe(20, 32, 1e-3, warmup=5),
        control=Recipe(10, 8, 1e-3, warmup=5, noise=0.03),
        horizon=8,
    ),
)
_CPU = Preset(
    "cpu",
    ModelConfig(inr=INRConfig(width=16, layers=2), latent_action=16, codes=512),
    TrainingConfig(
        representation=Recipe(18_000, 32, 2.4e-3),
        dynamics=Recipe(1_500, 512, 3e-3, noise=0.03, optimizer="soap"),
        grounding=Recipe(800, 512, 3e-3, weight_decay=0.1, noise=0.03, optimizer="soap"),
        unrolling=Recipe(4_500, 256, 8e-4, weight_decay=0.1, noise=0.1, final=0.4, optimizer="soap"),
        tuning=Recipe(5_000, 256, 3.2e-4, warmup=20, weight_decay=0.1, noise=0.05, optimizer="soap"),
        rendering=Recipe(2_000, 32, 2e-4, weight_decay=0.0, noise=0.02),
        codebook=Recipe(1_000, 512, 3e-4),
        control=Recipe(1_500, 64, 1e-3, weight_decay=0.05, noise=0.05),
    ),
)
_DIGITS = Preset(
    "digits",
    ModelConfig(
        frame_size=(64, 64),
        actions=0,
        inr=INRConfig(channels=1, width=32, layers=2),
        rank=64,  # few: states then change smoothly as digits move, instead of being a sum of pictures
        latent_action=64,
        control=ControlConfig(),
    ),
    TrainingConfig(
        representation=Recipe(20_000, 32, 3e-3),
        dynamics=Recipe(1_500, 512, 3e-3, noise=0.03, optimizer="soap"),
        unrolling=Recipe(1_000, 256, 8e-4, weight_decay=0.1, noise=0.1, optimizer="soap"),
        rendering=Recipe(2_000, 32, 2e-4, weight_decay=0.0, noise=0.02),
        codebook=Recipe(500, 512, 3e-4),
        control=Recipe(8_000, 64, 4e-3, weight_decay=0.05, noise=0.05, optimizer="soap"),
        near=0.3,
        elsewhere=0.0,
        margin=0.1,
    ),
)
_PAPER = Preset(
    "paper",
    ModelConfig(
        encoder_widths=(128, 256, 256),
        rank=987,
        latent_action=16,
        hidden=768,
        depth=2,
        head_hidden=512,
        codes=512,
        control=ControlConfig(kind="transformer", hidden=384, layers=3, heads=8, window=64),
    ),
    TrainingConfig(
        representation=Recipe(400_000, 64, 3e-4, warmup=1000),
        dynamics=Recipe(100_000, 1024, 3e-4, warmup=1000),
        grounding=Recipe(50_000, 1024, 3e-4, warmup=1000, weight_decay=0.1, noise=0.03),
        unrolling=Recipe(50_000, 256, 1e-4, warmup=1000, weight_decay=0.1, noise=0.1),
        tuning=Recipe(20_000, 256, 3e-5, warmup=1000, weight_decay=0.1, noise=0.05),
        rendering=Recipe(20_000, 64, 1e-4, warmup=1000, weight_decay=0.0, noise=0.02),
        codebook=Recipe(20_000, 1024, 1e-4, warmup=1000),
        control=Recipe(50_000, 256, 3e-4, warmup=1000, noise=0.03),
        pixels=1.0,
    ),
)

#: `tiny` for tests (seconds), `cpu` for MiniGrid (half an hour on 2 cores), `digits` for moving digits,
#: `paper` for one GPU.
PRESETS = {preset.name: preset for preset in (_TINY, _CPU, _DIGITS, _PAPER)}


def preset(name: str, **model: Any) -> Preset:
    """A preset, its model changed in the fields given by name.

    Raises:
        BadInputError: there is no such preset.
    """
    if name not in PRESETS:
        raise BadInputError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    chosen = PRESETS[name]
    return replace(chosen, model=replace(chosen.model, **model))


def preset_of(dream: Dream, stage: str) -> Preset:
    """The preset that a dream was trained by, to train a stage of it further.

    Args:
        dream: its card names the preset.
        stage: a field of `TrainingConfig`.

    Returns:
        That preset; `cpu` where the card names none that is known, or one without a recipe for the stage.
    """
    named = PRESETS.get(dream.card.training.get("preset", ""))
    return named if named is not None and getattr(named.training, stage) is not None else PRESETS["cpu"]
