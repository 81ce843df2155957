"""Which key does what, in the player; `H` shows it."""

from __future__ import annotations

import pygame

from nova_gym.envs import keys

#: Key → the environment's action, by the name that the dream's card gives it.
ACTION_KEYS: dict[int, str] = {getattr(pygame, key): action for action, key in keys.ACTION_KEYS.items()}

#: Key → command of the player.
COMMAND_KEYS: dict[int, str] = {
    pygame.K_RETURN: "reset",
    pygame.K_BACKSPACE: "rewind",
    pygame.K_PERIOD: "pause",
    pygame.K_e: "step",
    pygame.K_PLUS: "finer",
    pygame.K_EQUALS: "finer",
    pygame.K_KP_PLUS: "finer",
    pygame.K_MINUS: "coarser",
    pygame.K_KP_MINUS: "coarser",
    pygame.K_1: "background",
    pygame.K_2: "content",
    pygame.K_3: "motion",
    pygame.K_TAB: "reality",
    pygame.K_a: "agent",
    pygame.K_g: "control",
    pygame.K_r: "record",
    pygame.K_s: "picture",
    pygame.K_o: "open",
    pygame.K_h: "help",
    pygame.K_ESCAPE: "quit",
}

HELP = (
    ("arrows", "turn left, turn right, walk"),
    ("space, page up, page down, d", "toggle, pick up, drop, done"),
    ("digits of the actions", "where actions have no names: keys 4 to 9 are actions 0 to 5"),
    ("Enter", "new episode"),
    ("Backspace", "one step back"),
    (". and e", "pause the agent; one step of it while paused"),
    ("+ and -", "finer and coarser picture, 36 to 1024 pixels"),
    ("1, 2, 3", "background, content or motion alone; the same key again: all"),
    ("Tab", "reality beside the dream; tiles that differ are framed in red"),
    ("a", "the trained agent drives"),
    ("g", "the dream goes on by itself: its control model drives (GCM)"),
    ("r", "start and stop recording a GIF, or MP4 (--video-format mp4)"),
    ("s", "save the picture"),
    ("o", "start from a picture file: type its path, or drop it on the window"),
    ("click on the dream", "put the agent there"),
    ("drag a bar, or click on it", "set that latent action; a step when you let go"),
    ("h, Esc", "this help; leave"),
)


def action_of(key: int, names: list[str], count: int) -> int | None:
    """The action behind a key, None if it is none of this dream's."""
    name = ACTION_KEYS.get(key)
    if name in names:
        return names.index(name)
    if not names and pygame.K_4 <= key <= pygame.K_9 and key - pygame.K_4 < count:
        return key - pygame.K_4
    return None
