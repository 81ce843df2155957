"""`beads`, the environment of our own, is found by its module's name, as users' are."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
