"""Reading recordings."""

from nova_gym.data.clips import Clips, join_clips, load_clips, to_unit

__all__ = ["Clips", "join_clips", "load_clips", "to_unit"]
