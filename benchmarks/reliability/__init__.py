"""Faults survived: bad inputs, killed processes, long runs, processes of every kind. `docs/reliability.md` shows it."""
