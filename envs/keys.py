"""Which key stands for which of MiniGrid's actions, without loading pygame."""

#: Name of an action, as the dream's card has it → name of pygame's constant for its key. Enter, which MiniGrid itself
#: takes for `done`, starts a new episode in the player.
ACTION_KEYS = {
    "left": "K_LEFT",
    "right": "K_RIGHT",
    "forward": "K_UP",
    "pickup": "K_PAGEUP",
    "drop": "K_PAGEDOWN",
    "toggle": "K_SPACE",
    "done": "K_d",
}
