"""Reading recordings."""

from nova_gym.data.clips import Clips, join_clips, load_clips, to_unit, unlabelled_clips
from nova_gym.data.moving_digits import moving_digits

__all__ = ["Clips", "join_clips", "load_clips", "moving_digits", "to_unit", "unlabelled_clips"]
