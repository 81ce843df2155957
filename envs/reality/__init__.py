"""Reality: the real environment behind a dream, recordings of it, and evaluation in lockstep with it."""
