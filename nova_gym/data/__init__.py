"""Reading recordings."""

from nova_gym.data.clips import Clips, load_clips, to_unit

__all__ = ["Clips", "load_clips", "to_unit"]
