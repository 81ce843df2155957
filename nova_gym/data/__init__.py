"""Reading recordings."""

from nova_gym.data.ambiguity import Ambiguity, ambiguity_of, measure_ambiguity
from nova_gym.data.clips import Clips, join_clips, to_unit, unlabelled_clips
from nova_gym.data.datasets import load_dataset
from nova_gym.data.fields import Scale, load_fields
from nova_gym.data.loading import load_clips
from nova_gym.data.moving_digits import moving_digits
from nova_gym.data.phyworld import Scenes, load_phyworld, scenes
from nova_gym.data.videos import load_videos

__all__ = [
    "Ambiguity",
    "Clips",
    "Scale",
    "Scenes",
    "ambiguity_of",
    "join_clips",
    "load_clips",
    "load_dataset",
    "load_fields",
    "load_phyworld",
    "load_videos",
    "measure_ambiguity",
    "moving_digits",
    "scenes",
    "to_unit",
    "unlabelled_clips",
]
