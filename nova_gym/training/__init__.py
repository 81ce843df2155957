"""Training a dream from recorded clips."""

from nova_gym.training.detail import sharpen
from nova_gym.training.doubt import teach_doubt
from nova_gym.training.fine_tuning import check_recording, fine_tune, train_further
from nova_gym.training.loop import Run
from nova_gym.training.parts import PARTS, train_part
from nova_gym.training.presets import PRESETS, Preset, Recipe, TrainingConfig, preset
from nova_gym.training.suiting import Suiting, suiting_preset
from nova_gym.training.train import train

__all__ = [
    "PARTS",
    "PRESETS",
    "Preset",
    "Recipe",
    "Run",
    "Suiting",
    "TrainingConfig",
    "check_recording",
    "fine_tune",
    "preset",
    "sharpen",
    "suiting_preset",
    "teach_doubt",
    "train",
    "train_further",
    "train_part",
]
