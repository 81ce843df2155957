"""The command line `nova-gym`, one file for each group of commands. Other packages must not import it."""

from nova_gym.cli.app import app, main

__all__ = ["app", "main"]
