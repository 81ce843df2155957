"""Reading recordings."""

from nova_gym.data.clips import Clips, join_clips, load_dataset, to_unit, unlabelled_clips
from nova_gym.data.loading import load_clips
from nova_gym.data.moving_digits import moving_digits
from nova_gym.data.videos import load_videos

__all__ = [
    "Clips",
    "join_clips",
    "load_clips",
    "load_dataset",
    "load_videos",
    "moving_digits",
    "to_unit",
    "unlabelled_clips",
]
