"""The models of the paper's table, small, each trained for the same time on the same data."""

from nova_gym.benchmarks.baselines.common import Contestant
from nova_gym.benchmarks.baselines.lapo import LAPO
from nova_gym.benchmarks.baselines.nova import NOVAField, NOVASingle
from nova_gym.benchmarks.baselines.standard import Standard
from nova_gym.benchmarks.baselines.warp import WARP

#: By name on the command line, in the order of the table.
MODELS: dict[str, type[Contestant]] = {
    "standard": Standard,
    "lapo": LAPO,
    "warp": WARP,
    "nova-single": NOVASingle,
    "nova-field": NOVAField,
}

__all__ = ["LAPO", "MODELS", "WARP", "Contestant", "NOVAField", "NOVASingle", "Standard"]
