"""Reality: the real environment behind the dream, recording from it, and the dream in lockstep with it."""
