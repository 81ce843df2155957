"""The command behind each file in `benchmarks/results`, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

#: The folder, from the root of the repository.
RESULTS = "benchmarks/results"
#: The folder of what was done to break the package.
RELIABILITY = f"{RESULTS}/reliability"

SHIPS = "the dream of MiniGrid that ships"
_ITS_OWN = "models that it trains itself"
#: Levels that the dream of MiniGrid is compared with; its recording holds none of their layouts.
LEVELS = (
    "MiniGrid-SimpleCrossingS9N1-v0",
    "MiniGrid-SimpleCrossingS9N2-v0",
    "MiniGrid-SimpleCrossingS9N3-v0",
    "MiniGrid-SimpleCrossingS11N5-v0",
    "MiniGrid-FourRooms-v0",
    "MiniGrid-Empty-5x5-v0",
    "MiniGrid-Empty-16x16-v0",
)
#: The recording that the dream of MiniGrid was trained on.
RECORDING = "minigrid/layouts-v0"


@dataclass(frozen=True)
class Source:
    """One file of figures.

    Attributes:
        command: the command that writes it; `{}` stands for the file.
        takes: roughly how long that takes, on two cores.
        dream: what was measured, for a file without a note of its own (`nova_gym.benchmarks.provenance`).
        machine: the machine, likewise; empty if it is unknown or does not matter.
        doubts: whether the figures depend on a dream's doubt, so that they are old once that is another.
    """

    command: str
    takes: str
    dream: str
    machine: str = ""
    doubts: bool = False


def _benchmark(name: str) -> str:
    return f"python -m nova_gym.benchmarks.{name} --json {{}}"


_TRAIN = f"nova-gym agent train {' '.join(f'--reality {level}' for level in LEVELS[:3])}"

#: By name, without `.json`.
SOURCES = {
    "eval-minigrid": Source(
        f"nova-gym eval minigrid {' '.join(f'--reality {level}' for level in LEVELS)} "
        "--episodes 128 --steps 1000 --json {}",
        "a quarter of an hour",
        SHIPS,
    ),
    "shifted": Source(
        f"python -m nova_gym.benchmarks.shifted {RECORDING} -o shifted.safetensors --json {{}}", "8 minutes", _ITS_OWN
    ),
    "agent-training": Source(f"{_TRAIN} -o minigrid-ppo.safetensors && cp minigrid-ppo.json {{}}", "3 minutes", SHIPS),
    "agent-minigrid-ppo": Source("nova-gym agent eval minigrid-ppo --json {}", "1 minute", SHIPS),
    **{
        f"agent-{name}": Source(f"nova-gym agent eval minigrid-ppo --reality {level} --json {{}}", "1 minute", SHIPS)
        for name, level in (("two-walls", LEVELS[1]), ("three-walls", LEVELS[2]), ("four-rooms", LEVELS[4]))
    },
    **{
        f"agent-seed-{seed}": Source(
            f"{_TRAIN} -o seed-{seed}.safetensors --seed {seed} && "
            f"nova-gym agent eval seed-{seed}.safetensors --reality {LEVELS[2]} --json {{}}",
            "4 minutes",
            SHIPS,
        )
        for seed in (1, 2, 3, 4)
    },
    "agent-control": Source("nova-gym agent eval control --json {}", "1 minute", SHIPS),
    "agent-planner": Source("nova-gym agent eval planner --episodes 200 --json {}", "10 minutes", SHIPS),
    "agent-pixels": Source(
        "nova-gym agent train -o pixels.safetensors --observation pixels --steps 800000 --evaluations 1 && "
        "nova-gym agent eval pixels.safetensors --json {}",
        "half an hour",
        SHIPS,
    ),
    "agent-against-reality": Source(_benchmark("agent_against_reality"), "6 minutes", SHIPS),
    "agent-curve": Source(
        f"{_TRAIN} -o curve.safetensors --evaluations 8 --plot docs/training.png && cp curve.json {{}}",
        "5 minutes",
        SHIPS,
    ),
    "bench": Source("nova-gym bench --json {} --plot docs/growth.png", "10 minutes", SHIPS),
    "generation": Source(_benchmark("generation"), "5 minutes", "the dream of moving digits that ships"),
    "codebook": Source(_benchmark("codebook"), "1 minute", SHIPS),
    "disentanglement": Source(_benchmark("disentanglement"), "1 minute", SHIPS),
    "super-resolution": Source(_benchmark("super_resolution"), "2 minutes", SHIPS),
    "ablations": Source(_benchmark(f"ablations --minutes 4 --dataset {RECORDING}"), "an hour", _ITS_OWN),
    "paper": Source(
        f"python -m nova_gym.benchmarks.paper --minutes 1.5 --seeds 0 1 2 --minigrid {RECORDING} --json {{}}",
        "40 minutes on one core",
        _ITS_OWN,
    ),
    "doubt": Source(
        f"python -m nova_gym.benchmarks.doubt {RECORDING} --other cart-pole --random frozen-lake "
        "--episodes 24 --steps 60 --json {}",
        "half an hour",
        SHIPS,
        doubts=True,
    ),
    "doubt-use": Source(
        f"python -m nova_gym.benchmarks.doubt_use {RECORDING} --json {{}}", "half an hour", _ITS_OWN, doubts=True
    ),
    "web": Source(_benchmark("web"), "1 minute", SHIPS),
    "improve": Source(
        f"nova-gym improve minigrid -o better.safetensors --rounds 1 --dataset {RECORDING} --json {{}}",
        "7 minutes",
        SHIPS,
    ),
}

#: Parts of `nova-gym bench`, each a module of this folder.
BENCH_PARTS = ("stepping", "rendering", "growth", "playing", "learning", "loading", "training")
#: The other commands of this folder, whose figures are not on the page: what they write, and roughly how long it takes.
PAGES = {
    "gallery": ("docs/gallery.md and its pictures", "1 minute"),
    "player_pictures": ("pictures of the player in docs", "1 minute"),
    "on_cuda": ("the file that --json names", "3 minutes on an H100"),
    "reliability": (RELIABILITY, "an hour"),
    "results_page": ("docs/results.md and docs/reliability.md", "5 seconds"),
    "suite": ("benchmarks/results/suite and docs/suite", "half an hour a row"),
}


def file_of(name: str) -> str:
    """The path of a file of figures, from the root of the repository."""
    return f"{RESULTS}/{name}.json"


def command_of(name: str) -> str:
    """The command that writes a file of figures."""
    return SOURCES[name].command.format(file_of(name))
