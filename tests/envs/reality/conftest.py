"""`beads` and `walks`, environments of our own, are found by their modules' names, as users' are."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
