"""A dream: world model, start states and card, in one `.safetensors` file."""

from __future__ import annotations

import copy
import platform
import warnings
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nova_gym import hub
from nova_gym.errors import BadInputError, DreamFileError
from nova_gym.files import find_file
from nova_gym.model import doubt
from nova_gym.model.config import ControlConfig, INRConfig, ModelConfig
from nova_gym.model.inr import weight_count
from nova_gym.model.world_model import WorldModel
from nova_gym.tensor_file import DAMAGED, FileKind, checked, first_line, no_larger_than, read_tensors, write_tensors
from nova_gym.version import __version__

if TYPE_CHECKING:
    from nova_gym.model.compiled_step import CompiledStep

#: Version of the file's layout; files of any other version are refused.
FORMAT = 4
KIND = FileKind(
    "nova_gym", "a dream", FORMAT, "record and train anew (`nova-gym record`, `nova-gym train`)", DreamFileError
)
#: Largest number of starts of each kind that a dream keeps.
STARTS = 512
#: Pixels of a dream's frames at most, unless it was made here: a file that says more would fill the memory.
LARGEST_FRAME = 2**22
_START_PREFIX, _CELLS, _INDEX = "starts.", ".cells", ".index"
#: What makes a dream ready for the hub; it stands on a floor above and is imported when it is asked for.
_PUBLISHING = "nova_gym.publishing"
#: Said of a file whose doubt is not read.
_OUTDATED = (
    "doubts in the way of another version of nova-gym; here it dreams as ever and cannot doubt: "
    "`nova-gym train RECORDING --stage doubt --dream {} -o NEW.safetensors` teaches it anew, from its recording"
)
#: Where a header says of which version a dream's doubt is.
_DOUBT = "doubt version"
#: What doubt keeps of the renderer; a file has these tensors only where the renderer was trained further since.
_SAME = {"base": "doubt.base", "basis": "doubt.basis"}


@dataclass
class Card:
    """What a dream was made from, and how good it is: the JSON card in its file.

    Attributes:
        env_id: Gymnasium id of the real environment, empty if there is none.
        env_kwargs: keyword arguments that it was made with.
        frame_size: [H, W] in pixels of its frames; empty for the size that the model was trained on.
        horizon: steps after which the real environment truncates an episode, 0 for never.
        reward_discount: c in `reward = undiscounted reward · (1 - c · step / horizon)`.
        dead_band: mean squared change of a cell's state up to which a step leaves it as it is, so that standing still
            cannot drift; a quarter of the smallest changes in the recording.
        drawn_within: mean squared error of a cell that the dream encodes and draws, for the worst thousandth of the
            recording's cells. A frame whose cells are much worse shows what the dream has never seen. 0 if not known.
        random_rewards: whether the same transition may pay differently, so that a step draws what it pays.
        random_endings: the same for whether it ends the episode.
        action_names: names of discrete actions, where known.
        action_space: of the environment, as `nova_gym.data.actions.ActionMap.to_dict` has it; empty without actions.
        reality: what else `nova_gym.envs.RealitySpec` says of the environment, such as its wrappers.
        data: the recording, as `nova-gym record` described it.
        training: preset, recipes, and for each stage its last loss, skipped steps and seconds.
        doubt: how well the dream's doubt is calibrated, on held-out clips and on frames made strange; empty without it.
        scores: what `nova-gym eval` measured.
        versions: of nova-gym, PyTorch and Python that made it.
    """

    env_id: str = ""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    frame_size: list[int] = field(default_factory=list)
    horizon: int = 0
    reward_discount: float = 0.0
    dead_band: float = 0.0
    drawn_within: float = 0.0
    random_rewards: bool = False
    random_endings: bool = False
    action_names: list[str] = field(default_factory=list)
    action_space: dict[str, Any] = field(default_factory=dict)
    reality: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    doubt: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(
        default_factory=lambda: {
            "nova-gym": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
    )


@dataclass
class Dream:
    """A trained world model, ready to be stepped.

    Attributes:
        world_model: the model, in evaluation mode.
        starts: start states by kind, (n, K + M, rows, cols) float32 each: `official` (where the real environment
            starts), `random` (anywhere), and where the model has a memory `recorded` (anywhere in the recording, with
            what the frames before said); for video without labels `clips` (where clips begin). Empty where a dream is
            looked at with another real environment than its own (`nova_gym.envs.dream_at`).
        card: its origin and its scores.
        step_kept: the compiled step, which simulators of this dream share; None until a simulator needs it.
    """

    world_model: WorldModel
    starts: dict[str, Tensor]
    card: Card
    step_kept: CompiledStep | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def default_starts(self) -> str:
        """`official` where the dream has such starts or none at all, else its first kind."""
        return "official" if "official" in self.starts else next(iter(self.starts), "official")

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W) in pixels of the real environment's frames."""
        return tuple(self.card.frame_size or self.world_model.config.frame_size)

    @property
    def cells(self) -> tuple[int, int]:
        """(rows, cols) of those frames."""
        return self.world_model.config.cells_of(*self.frame_size)

    @property
    def is_random(self) -> bool:
        """Whether the same state and action can lead to different futures."""
        return self.world_model.has_chance or self.card.random_rewards or self.card.random_endings

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the compiled step out of copies: it is tied to the weights of this object, and quickly made again."""
        return {**self.__dict__, "step_kept": None}

    def save(self, path: str | Path) -> None:
        """Writes the dream to one file, in half precision, atomically.

        Args:
            path: where; an existing file is replaced only once the new one is complete.

        Raises:
            BadInputError: the file cannot be written, or a number is not finite or too large for half precision;
                an existing file stays then.
        """
        tensors = {name: _halved(name, tensor) for name, tensor in self.world_model.state_dict().items()}
        for name, starts in self.starts.items():
            tensors |= _packed(_START_PREFIX + name, _halved(_START_PREFIX + name, starts))
        header = {"config": self.world_model.config.to_dict(), "card": asdict(self.card)}
        if self.world_model.has_doubt:
            header[_DOUBT] = doubt.VERSION
            for name, of_doubt in _SAME.items():
                if torch.equal(tensors[name], tensors[of_doubt]):
                    del tensors[of_doubt]
        write_tensors(path, tensors, header, KIND)

    def to(self, device: str | torch.device) -> Dream:
        """The dream on another device, a copy unless it is there already.

        Args:
            device: `"cpu"`, `"cuda"` …; `"auto"` takes an accelerator if there is one.

        Raises:
            BadInputError: there is no such device here.
        """
        target = resolve_device(device)
        if target == self.world_model.device:
            return self
        starts = {name: start.to(target) for name, start in self.starts.items()}
        return Dream(copy.deepcopy(self.world_model).to(target), starts, self.card)

    @classmethod
    def load(cls, name: str | Path = "minigrid") -> Dream:
        """Reads a dream.

        Args:
            name: name of a shipped dream (`shipped_dreams()`), path of a file, or `hf://user/name` for a dream on the
                Hugging Face hub, `hf://user/name@revision` for a certain version of it.

        Returns:
            The dream on the CPU, its parameters frozen; `to` moves it. Doubt of another version is left out with a
            warning: the dream runs, and cannot doubt.

        Raises:
            BadInputError: there is no such dream, or it cannot be fetched.
            DreamFileError: the file is not a dream, is truncated, was changed after it was saved, or has another
                format version.
        """
        path = find_dream(name)
        stored, header = read_tensors(path, KIND)
        tensors = {key: t.to(torch.float32) if t.is_floating_point() else t for key, t in stored.items()}
        try:
            config, card = _config(header["config"], tensors), Card(**checked(Card, header["card"], "its card"))
            if config.doubt and header.get(_DOUBT) != doubt.VERSION:
                warnings.warn(f"{path} {_OUTDATED.format(path)}", stacklevel=2)
                config, card.doubt = replace(config, doubt=0), {}
                tensors = {key: value for key, value in tensors.items() if not key.startswith("doubt.")}
            if config.doubt:
                tensors = {of_doubt: tensors[name] for name, of_doubt in _SAME.items()} | tensors
            starts = _unpacked({key: tensors.pop(key) for key in list(tensors) if key.startswith(_START_PREFIX)})
            with no_larger_than(sum(tensor.numel() for tensor in tensors.values())):
                model = WorldModel(config)
            model.load_state_dict(tensors)
            _check(config, card, starts)
        except DAMAGED as error:
            raise DreamFileError(f"{path} does not hold what its header says: {first_line(error)}") from error
        return cls(model.eval().requires_grad_(False), starts, card)

    @classmethod
    def from_pretrained(cls, repository: str, revision: str | None = None, token: str | None = None) -> Dream:
        """Reads a dream from the Hugging Face hub, or from its cache; it needs the extra `nova-gym[hub]`.

        Args:
            repository: `user/name`.
            revision: branch, tag or commit; None for the main branch.
            token: of the hub; None for the one that you are logged in with, if any.

        Raises:
            BadInputError: the name is none, there is no such repository or revision, no right to read it, or no network
                and it is not in the cache.
            DreamFileError: as in `load`.
        """
        return cls.load(hub.fetch(repository, revision, token))

    def push_to_hub(
        self,
        repository: str,
        licence: str = "mit",
        private: bool = False,
        revision: str | None = None,
        token: str | None = None,
    ) -> str:
        """Publishes the dream on the Hugging Face hub, with a model card and a film; it needs `nova-gym[hub]`.

        The card has the measured scores, how to use the dream, and the licence. The film shows what is dreamt.

        Args:
            repository: `user/name`; it is made if need be.
            licence: of the dream, by the hub's name for it, such as `mit` or `cc-by-4.0`.
            private: whether a new repository is private.
            revision: branch that exists; None for the main one.
            token: as in `from_pretrained`.

        Returns:
            The address of the commit.

        Raises:
            BadInputError: the name is none, or there is no right to write, or no network.
        """
        return import_module(_PUBLISHING).publish(self, repository, licence, private, revision, token)


def shipped_dreams() -> dict[str, Path]:
    """Names and files of the dreams that come with the package."""
    folder = Path(str(resources.files("nova_gym"))) / "dreams"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_dream(name: str | Path) -> Path:
    """The file of a dream, by the name of a shipped dream, by a path, or by its place on the Hugging Face hub.

    Raises:
        BadInputError: `name` is none of these, or what is on the hub cannot be fetched.
    """
    if hub.on_hub(name):
        return hub.fetch(str(name))
    shipped = shipped_dreams()
    if str(name) in shipped:
        return shipped[str(name)]
    if (path := find_file(name)) is not None:
        return path
    raise BadInputError(
        f"no dream {str(name)!r}: it is neither a file nor one that ships ({', '.join(shipped) or 'none'}), nor hf://user/name"
    )


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device of that name; `auto` is the accelerator if there is one, else the CPU.

    Raises:
        BadInputError: there is no such device here.
    """
    try:
        if str(device) != "auto":
            found = torch.empty(0, device=torch.device(device)).device  # "cuda" becomes "cuda:0"
            if found.type == "meta":
                raise RuntimeError("it holds no numbers")
            return found
    except DAMAGED as error:
        raise BadInputError(f"device {str(device)!r} cannot be used here: {first_line(error)}") from error
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.empty(0, device=accelerator or "cpu").device


def _config(values: dict[str, Any], tensors: dict[str, Tensor]) -> ModelConfig:
    """The sizes in a header, once the file's tensors bear out those of which a model makes use at once.

    Raises:
        ValueError: they do not, or a value is none that a size can have.
    """
    values = checked(ModelConfig, values, "its config") | {
        name: checked(kind, values[name], name)
        for name, kind in (("inr", INRConfig), ("control", ControlConfig), ("detail", INRConfig))
        if values.get(name) is not None
    }
    config = ModelConfig.from_dict(values)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    groups = (values, values["inr"], values.get("control") or {}, values.get("detail") or {})
    sizes = [size for group in groups for size in group.values() if type(size) is int]
    if max([*sizes, *config.encoder_widths]) > numbers:
        raise ValueError(f"its config has the size {max(sizes)}")
    weights = weight_count(config.inr)
    expected = {"base": (weights,), "basis": (config.rank, weights)}
    if config.codes:
        expected["codebook.codes"] = (config.codes, config.latent_action)
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(f"{name} is {tuple(tensors[name].shape)} instead of {shape}")
    return config


def _check(config: ModelConfig, card: Card, starts: dict[str, Tensor]) -> None:
    """Checks what a model does not ask for until it is used.

    Raises:
        ValueError: frames are too large or do not divide into cells, starts are none, or numbers are out of range.
    """
    for size in (config.frame_size, card.frame_size or config.frame_size):
        if len(size) != 2 or not all(type(side) is int for side in size) or not 0 < size[0] * size[1] <= LARGEST_FRAME:
            raise ValueError(f"its frames have the size {size}")
        config.cells_of(*size)
    if not 0.0 <= card.reward_discount <= (1.0 if card.horizon else 0.0) or min(card.dead_band, card.drawn_within) < 0:
        raise ValueError("numbers in its card are out of range")
    if not all(isinstance(name, str) for name in card.action_names):
        raise ValueError("its actions have no names")
    for name, start in starts.items():
        if start.ndim != 4 or not len(start) or start.shape[1] != config.rank + config.memory:
            raise ValueError(f"its starts {name!r} are {tuple(start.shape)}")
        if not start.is_floating_point():
            raise ValueError(f"its starts {name!r} are of {start.dtype}")


def _halved(name: str, tensor: Tensor) -> Tensor:
    """A tensor in half precision, on the CPU.

    Raises:
        BadInputError: a number in it is not finite, or is too large for half precision.
    """
    half = tensor.detach().cpu().to(torch.float16).contiguous()
    if not half.isfinite().all():
        worst = tensor.detach().abs().max().item()
        raise BadInputError(
            f"the dream cannot be saved: {name} holds {worst:g}, and half precision ends at "
            f"{torch.finfo(torch.float16).max:,.0f}"
        )
    return half


def _packed(name: str, starts: Tensor) -> dict[str, Tensor]:
    """Starts (n, K, rows, cols) as tensors of a file: as they are, or as different cells and where they are.

    Scenes of tiles consist of few different cells, so the second way is much smaller there. Both are without loss.
    """
    cells, index = starts.movedim(1, 3).flatten(0, 2).unique(dim=0, return_inverse=True)
    if len(cells) > torch.iinfo(torch.int16).max or 2 * len(cells) > len(index):
        return {name: starts}
    kind = torch.uint8 if len(cells) <= 256 else torch.int16
    index = index.unflatten(0, (len(starts), *starts.shape[2:])).to(kind)
    return {f"{name}{_CELLS}": cells.contiguous(), f"{name}{_INDEX}": index.contiguous()}


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `_packed`, for starts of all kinds by kind."""
    starts = {}
    for key, tensor in tensors.items():
        if key.endswith(_INDEX):
            name = key.removesuffix(_INDEX)
            starts[name.removeprefix(_START_PREFIX)] = tensors[name + _CELLS][tensor.long()].movedim(3, 1).contiguous()
        elif not key.endswith(_CELLS):
            starts[key.removeprefix(_START_PREFIX)] = tensor
    return starts
