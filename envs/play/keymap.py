"""The keys of the player; `h` shows them in the window."""

from __future__ import annotations

import pygame

from nova_gym.envs import keys

#: Key → name of the environment's action, as in the dream's card.
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
    ("4 to 9", "where actions have no names: actions 0 to 5"),
    ("Enter", "new episode"),
    ("Backspace", "one step back"),
    (". and e", "pause the agent; one step of it while paused"),
    ("+ and -", "finer and coarser picture, 36 to 1024 pixels"),
    ("1, 2, 3", "show background, content or motion alone; the same key again shows all"),
    ("Tab", "reality beside the dream; tiles that differ are framed in red"),
    ("a", "the trained agent drives"),
    ("g", "the dream goes on by itself: its control model (GCM) drives"),
    ("r", "start and stop recording a GIF, or MP4 (--video-format mp4)"),
    ("s", "save the picture"),
    ("o", "start from a picture file: type its path, or drop it on the window"),
    ("click on the dream", "choose a cell, which is framed; the same cell again chooses none"),
    ("0 to 9 in a chosen cell", "make a step by a code there: 0 puts nothing there, 1 to 9 the strongest"),
    ("right click on the dream", "put the agent there"),
    ("drag a bar, or click on it", "set where a cell moves (y, x) or how (1, 2 …); letting go makes a step"),
    ("h, Esc", "this help; leave"),
)


def action_of(key: int, names: list[str], count: int) -> int | None:
    """The action that a key stands for; None if this dream has no action for it.

    Args:
        key: pygame's constant.
        names: of the dream's actions; empty if they have no names.
        count: how many actions there are.
    """
    name = ACTION_KEYS.get(key)
    if name in names:
        return names.index(name)
    if not names and pygame.K_4 <= key <= pygame.K_9 and key - pygame.K_4 < count:
        return key - pygame.K_4
    return None


def digit_of(key: int) -> int | None:
    """The digit 0 to 9 on a key; None if there is no digit on it."""
    return key - pygame.K_0 if pygame.K_0 <= key <= pygame.K_9 else None
