"""Where the files in `benchmarks/results` come from: which command writes each, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

#: The folder, from the root of the repository.
RESULTS = "benchmarks/results"

SHIPS = "the dream of MiniGrid that ships"
_BEFORE = "the dream of MiniGrid that shipped before the present one"
_ITS_OWN = "models that it trains itself"
_TWO_CORES = "a machine with two cores"
_NO_AVX512 = "a machine with two cores without AVX-512, in two calls (`stepping rendering`, and the other parts)"
_FASTER = "a machine with two cores, faster than that of the tables of speed"


@dataclass(frozen=True)
class Source:
    """One file of figures.

    Attributes:
        command: that writes it; `{}` stands for the file.
        takes: roughly how long, on two cores.
        dream: what it was measured on, for a file that does not say so itself: commands write that since
            `nova_gym.benchmarks.provenance` exists.
        machine: the same of the machine; empty where that does not matter or is not known.
    """

    command: str
    takes: str
    dream: str
    machine: str = ""


def _benchmark(name: str) -> str:
    return f"python -m nova_gym.benchmarks.{name} --json {{}}"


#: By name, without `.json`.
SOURCES = {
    "eval-minigrid": Source("nova-gym eval minigrid --json {}", "1 minute", SHIPS),
    "agent-training": Source(
        "nova-gym agent train -o minigrid-ppo.zip && cp minigrid-ppo.json {}", "3 minutes", SHIPS, _FASTER
    ),
    "agent-minigrid-ppo": Source("nova-gym agent eval minigrid-ppo --json {}", "1 minute", SHIPS),
    **{
        f"agent-seed-{seed}": Source(
            f"nova-gym agent train -o seed-{seed}.zip --seed {seed} && nova-gym agent eval seed-{seed}.zip --json {{}}",
            "4 minutes",
            SHIPS,
        )
        for seed in (1, 2, 3, 4)
    },
    "agent-control": Source("nova-gym agent eval control --json {}", "1 minute", SHIPS),
    "agent-planner": Source(
        "nova-gym agent eval planner --episodes 200 --json {}",
        "10 minutes",
        "the dream of MiniGrid that shipped two before the present one",
    ),
    "agent-pixels": Source(
        "nova-gym agent train -o pixels.zip --observation pixels --steps 800000 --evaluations 1 && "
        "nova-gym agent eval pixels.zip --json {}",
        "half an hour",
        _BEFORE,
    ),
    "agent-against-reality": Source(_benchmark("agent_against_reality"), "6 minutes", _BEFORE, _TWO_CORES),
    "agent-curve": Source(
        "nova-gym agent train -o curve.zip --evaluations 8 --plot docs/training.png && cp curve.json {}",
        "5 minutes",
        _BEFORE,
        _TWO_CORES,
    ),
    "bench": Source("nova-gym bench --json {} --plot docs/growth.png", "10 minutes", SHIPS, _NO_AVX512),
    "generation": Source(_benchmark("generation"), "1 minute", "the dream of moving digits that ships"),
    "codebook": Source(_benchmark("codebook"), "1 minute", SHIPS),
    "disentanglement": Source(_benchmark("disentanglement"), "1 minute", SHIPS),
    "super-resolution": Source(_benchmark("super_resolution"), "1 minute", SHIPS),
    "ablations": Source(_benchmark("ablations --minutes 4"), "half an hour", _ITS_OWN),
    "improve": Source(
        "nova-gym improve minigrid -o better.safetensors --rounds 1 --dataset minigrid/crossing-v2 --json {}",
        "7 minutes",
        _BEFORE,
    ),
}

#: Parts of `nova-gym bench`, each a module of this folder.
BENCH_PARTS = ("stepping", "rendering", "growth", "playing", "learning", "loading", "training")
#: What the commands of this folder that measure no figures for the page write, and roughly how long they take.
PAGES = {
    "gallery": ("docs/gallery.md and its pictures", "1 minute"),
    "on_cuda": ("the file that --json names", "3 minutes on an H100"),
    "results_page": ("docs/results.md", "5 seconds"),
}


def file_of(name: str) -> str:
    """The path of a file of figures, from the root of the repository."""
    return f"{RESULTS}/{name}.json"


def command_of(name: str) -> str:
    """The command that writes it."""
    return SOURCES[name].command.format(file_of(name))
