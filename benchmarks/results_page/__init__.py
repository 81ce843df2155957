"""The page of all results: `docs/results.md`, written from `benchmarks/results/*.json` and the dreams that ship.

No number on it is typed by hand. `python -m nova_gym.benchmarks.results_page [--output FILE] [--results FOLDER]`
writes it anew after any measurement.
"""

from nova_gym.benchmarks.results_page.page import results_page
from nova_gym.benchmarks.results_page.reading import Results, Target

__all__ = ["Results", "Target", "results_page"]
