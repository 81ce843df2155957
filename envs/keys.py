"""Keys for MiniGrid's actions, by name, so that pygame need not be loaded."""

#: Name of an action in the dream's card → name of pygame's constant for its key. MiniGrid itself uses Enter for
#: `done`; here that is `d`, since Enter starts a new episode in the player.
ACTION_KEYS = {
    "left": "K_LEFT",
    "right": "K_RIGHT",
    "forward": "K_UP",
    "pickup": "K_PAGEUP",
    "drop": "K_PAGEDOWN",
    "toggle": "K_SPACE",
    "done": "K_d",
}
