"""Agents that learn in the dream and act in reality; nothing here yet."""
