"""Sizes of a world model and recipes of its training, as dataclasses that live in a dream's header."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nova_gym.errors import BadInputError


@dataclass(frozen=True)
class INRConfig:
    """The coordinate network that a state is the weights of (`nova.md`: 26 → 5 × 12 → C, D = 987 for RGB).

    Attributes:
        channels: C, 3 for RGB or 1 for grey.
        frequencies: number of octaves of Fourier features.
        width: units of a hidden layer.
        layers: number of hidden layers.
    """

    channels: int = 3
    frequencies: int = 6
    width: int = 12
    layers: int = 5


#: Kinds of generative control model.
CONTROLS = ("lstm", "gru", "transformer")


@dataclass(frozen=True)
class ControlConfig:
    """Sizes of a generative control model (GCM).

    Attributes:
        kind: `lstm`, `gru` or `transformer`.
        hidden: units of a layer.
        layers: number of layers.
        heads: of the transformer's attention.
        window: steps that the transformer remembers.
    """

    kind: str = "lstm"
    hidden: int = 256
    layers: int = 1
    heads: int = 4
    window: int = 32


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a `WorldModel`.

    Attributes:
        frame_size: (H, W) of the frames that the encoder reads, in pixels.
        actions: size of the environment's action: n for `Discrete(n)`, the length of a flat `Box`; 0 for video without
            labels, whose dream has no action bridge and no heads.
        discrete: whether the environment's actions are discrete.
        reward_values: the values that the undiscounted reward takes, if they are few; empty: any real number.
        inr: the coordinate network.
        encoder_widths: channels of the encoder's three convolutions.
        rank: K, number of principal coordinates of the weight offset that make the state.
        latent_action: U, length of a latent action.
        hidden: units of a hidden layer of A, B, the inverse dynamics and the action bridge.
        depth: number of their residual blocks, of two layers each.
        head_hidden: units of the two hidden layers of the reward and termination heads.
        codes: size of the codebook of latent actions, 0 for none.
        control: the generative control model, None for none.
        detail: the coordinate network that draws frames larger than `frame_size`, with more octaves than `inr`;
            None where that one draws them all.
    """

    frame_size: tuple[int, int] = (72, 72)
    actions: int = 7
    discrete: bool = True
    reward_values: tuple[float, ...] = ()
    inr: INRConfig = field(default_factory=INRConfig)
    encoder_widths: tuple[int, int, int] = (64, 128, 64)
    rank: int = 256
    latent_action: int = 8
    hidden: int = 256
    depth: int = 2
    head_hidden: int = 128
    codes: int = 0
    control: ControlConfig | None = None
    detail: INRConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`, after a round trip through JSON.

        Raises:
            TypeError: a key is missing or unknown.
        """
        tuples = ("frame_size", "encoder_widths", "reward_values")
        return cls(
            **{
                **values,
                **{key: tuple(values[key]) for key in tuples},
                "inr": INRConfig(**values["inr"]),
                "control": ControlConfig(**values["control"]) if values.get("control") else None,
                "detail": INRConfig(**values["detail"]) if values.get("detail") else None,
            }
        )


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
    """The recipes of all stages (`feasibility.md`, "Recipe that worked").

    Attributes:
        representation: stage 1, encoder and renderer on single frames.
        dynamics: stage 2, A, B and the inverse dynamics on encoded transitions.
        grounding: stage 4, action bridge and heads on labelled transitions.
        unrolling: all of these together on the model's own roll-outs.
        tuning: stage 5, more of that, with what is still wrong shown more often.
        rendering: base weights and basis alone, between the centres of pixels as well.
        codebook: the codes of latent actions, if the model has a codebook.
        control: stage 3, the generative control model, if the model has one.
        horizon: steps of a roll-out at most.
        near: mean squared distance of states (mean square 1) below which a roll-out counts as near the truth; on
            MiniGrid, where a step changes 0.3, a thirtieth of that.
        elsewhere: share of steps by inferred latent actions in which A sees another state of the same clip: so B(u)
            tells all that changes within a clip, and A the rest, which is what retargeting goes by.
        pixels: share of a frame's pixels that stage 1 renders a step.
        margin: how far beyond their range the stages `representation` and `rendering` are to draw black and white,
            before clipping, so that they come out exactly; 0: within it.
        seed: of initial weights, data order and noise.
    """

    representation: Recipe
    dynamics: Recipe
    grounding: Recipe
    unrolling: Recipe
    tuning: Recipe
    rendering: Recipe
    codebook: Recipe
    control: Recipe
    horizon: int = 80
    near: float = 0.01
    elsewhere: float = 0.25
    pixels: float = 0.5
    margin: float = 0.0
    seed: int = 0


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
        grounding=Recipe(800, 512, 3e-3, weight_decay=0.1, noise=0.03, optimizer="soap"),
        unrolling=Recipe(1_000, 256, 8e-4, weight_decay=0.1, noise=0.1, optimizer="soap"),
        tuning=Recipe(1_500, 256, 3.2e-4, warmup=20, weight_decay=0.1, noise=0.05, optimizer="soap"),
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
