"""The paper's table: its data sets, its baselines, and NOVA with one network and with a field, by one command."""

from nova_gym.benchmarks.paper.data import DATA, Sizes
from nova_gym.benchmarks.paper.runner import Settings, collect_cells, run_cell

__all__ = ["DATA", "Settings", "Sizes", "collect_cells", "run_cell"]
