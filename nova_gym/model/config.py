"""Sizes of a world model, as dataclasses that live in a dream's header."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from nova_gym.errors import BadInputError


@dataclass(frozen=True)
class INRConfig:
    """Sizes of the coordinate network that draws one cell; a state says what its weights are.

    Attributes:
        channels: C, 3 for RGB or 1 for grey.
        frequencies: number of octaves of Fourier features.
        width: units of a hidden layer.
        layers: number of hidden layers.
    """

    channels: int = 3
    frequencies: int = 2
    width: int = 12
    layers: int = 2


@dataclass(frozen=True)
class ControlConfig:
    """Sizes of a generative control model (GCM).

    Attributes:
        hidden: channels of its memory.
        layers: number of recurrent layers.
        linear: whether its answers also have a part that is linear in the last pair and the query. Files from before
            there was one have none.
        average: whether that part also hears how far the query is from the average of the last states. Files from
            before it did, do not.
    """

    hidden: int = 64
    layers: int = 1
    linear: bool = True
    average: bool = True


#: What files say nothing of that were made before there was a choice.
_BEFORE = {"linear": False, "average": False}


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a `WorldModel`.

    Attributes:
        frame_size: (H, W) in pixels of the frames that it was trained on.
        cell: (h, w) in pixels of a cell of those frames. A cell as large as the frame makes the paper's model, one
            network for the whole picture.
        actions: size of the environment's action: n for `Discrete(n)`, the length of a flat `Box`; 0 for video without
            labels, whose dream has no action bridge and no heads.
        discrete: whether the environment's actions are discrete.
        reward_values: the values that the undiscounted reward takes, if they are few; else the centres of the bins that
            stand for it, in ascending order.
        reward_bins: whether `reward_values` are centres of bins, between which a reward may lie.
        memory: M, numbers of memory in a cell; 0 where the frame is all that a step depends on.
        outcomes: how many outcomes a cell's step can have by chance; 0 where nothing is left to chance.
        far: whether the bridge hears of all cells, instead of a neighbourhood alone.
        everywhere: whether rewards and endings are read off all cells, the action and the memory. Otherwise they are
            read off the cells that change.
        inr: the coordinate network of a cell.
        encoder_widths: channels of the encoder's two hidden layers, and of a third one that sees the whole cell, if it
            has that.
        rank: K, number of coordinates of weight offsets that make the state of a cell.
        latent_action: U, numbers of a latent action in a cell.
        hidden: channels of the hidden layers of A, B, the inverse dynamics and the action bridge.
        reach: side, in cells, of the neighbourhood that a layer of the inverse dynamics and of the bridge sees; odd.
        depth: number of their hidden layers.
        head_hidden: channels of the two hidden layers of the reward and termination heads.
        codes: size of the codebook of latent actions, 0 for a model without a codebook.
        control: the generative control model, None for a model without one.
        detail: the coordinate network that draws frames larger than `frame_size`, with more octaves than `inr`;
            None where `inr` draws frames of all sizes.
        blend: whether neighbouring cells are blended where they meet, because the recording's frames are smooth there.
        looks: how many looks its cells have, where the recording shows few that come again; 0 where cells may look
            anyhow. A cell that changes then gets the nearest of them (`WorldModel.settle`).
        doubt: number of codes that its doubt compares cells with, 0 for a model that cannot doubt.
    """

    frame_size: tuple[int, int] = (72, 72)
    cell: tuple[int, int] = (8, 8)
    actions: int = 7
    discrete: bool = True
    reward_values: tuple[float, ...] = ()
    reward_bins: bool = False
    memory: int = 0
    outcomes: int = 0
    far: bool = False
    everywhere: bool = False
    inr: INRConfig = field(default_factory=INRConfig)
    encoder_widths: tuple[int, ...] = (32, 64)
    rank: int = 16
    latent_action: int = 4
    hidden: int = 32
    reach: int = 3
    depth: int = 2
    head_hidden: int = 32
    codes: int = 0
    control: ControlConfig | None = None
    detail: INRConfig | None = None
    blend: bool = False
    looks: int = 0
    doubt: int = 0

    @property
    def cells(self) -> tuple[int, int]:
        """(rows, cols) of the frames that it was trained on.

        Raises:
            BadInputError: the frames do not divide into cells.
        """
        return self.cells_of(*self.frame_size)

    def cells_of(self, height: int, width: int) -> tuple[int, int]:
        """(rows, cols) of frames of this size in pixels.

        Raises:
            BadInputError: such frames do not divide into cells; the message names sizes that do.
        """
        sides = (height, width)
        if any(side % part or not side for side, part in zip(sides, self.cell, strict=True)):
            below = (max(1, side // part) * part for side, part in zip(sides, self.cell, strict=True))
            above = (max(1, -(-side // part)) * part for side, part in zip(sides, self.cell, strict=True))
            near = " or ".join(dict.fromkeys(f"{h}×{w}" for h, w in (tuple(below), tuple(above))))
            raise BadInputError(
                f"frames of {height}×{width} pixels (height×width) do not divide into cells of "
                f"{self.cell[0]}×{self.cell[1]}; sizes near it that do: {near}"
            )
        return height // self.cell[0], width // self.cell[1]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`, after a round trip through JSON.

        Raises:
            TypeError: a key is missing or unknown.
        """
        tuples = ("frame_size", "cell", "encoder_widths", "reward_values")
        return cls(
            **{
                **values,
                **{key: tuple(values[key]) for key in tuples},
                "inr": INRConfig(**values["inr"]),
                "control": ControlConfig(**_BEFORE | values["control"]) if values.get("control") else None,
                "detail": INRConfig(**values["detail"]) if values.get("detail") else None,
            }
        )
