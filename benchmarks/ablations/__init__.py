"""Measures what each of the paper's choices is worth: `python -m nova_gym.benchmarks.ablations`."""
