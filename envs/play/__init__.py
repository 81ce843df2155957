"""The player: a person walks through a dream in a pygame window."""
