"""The player: a person walks through the dream, in a pygame window."""
