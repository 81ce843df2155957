"""Measurements. `python -m nova_gym.benchmarks` lists them; `nova-gym bench` runs those of speed and memory."""
