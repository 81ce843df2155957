"""Sizes of a world model, as dataclasses that live in a dream's header."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class INRConfig:
    """The coordinate network that a state is the weights of.

    The defaults are the paper's: 26 features → 5 layers of 12 units → C colours, D = 987 weights for RGB.

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
