"""The command line: `nova-gym`, one file a group of commands. It may import everything, and nothing imports it."""

from nova_gym.cli.app import app, main

__all__ = ["app", "main"]
