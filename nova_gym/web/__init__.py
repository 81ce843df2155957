"""A dream as one self-contained web page, which steps and draws it without Python and without a network."""

from nova_gym.web.page import Level, Policy, check_page, clips_level, level_of, write_page

__all__ = ["Level", "Policy", "check_page", "clips_level", "level_of", "write_page"]
