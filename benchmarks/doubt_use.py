"""What doubt is good for: an agent in a dream with flaws, and a dream that is mended where it doubts.

The dream is (e) of `nova_gym.benchmarks.doubt`, which trained far too briefly. PPO learns in it with doubt ignored,
with doubted steps cut off, and with doubted rewards made smaller; each agent is tested in reality, beside one that
learned in the dream that ships. Then `improve` mends (e) by what an agent meets in reality.

    python -m nova_gym.benchmarks.doubt_use minigrid/layouts-v0 --json benchmarks/results/doubt-use.json

Figures that are in the file already are not measured again, if they are of the same seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import minari
from minari.data_collector import EpisodeBuffer

from nova_gym import Dream
from nova_gym.agents import evaluate_agent, train_agent
from nova_gym.agents.improvement import Budget, improve
from nova_gym.agents.vec_env import DOUBT
from nova_gym.benchmarks.doubt import BRIEF, THIRD, flawed, flawed_file
from nova_gym.benchmarks.provenance import MEASURED_ON, measured_on, write_results
from nova_gym.benchmarks.tables import interval, show
from nova_gym.envs.reality.recording import remove_dataset, write_dataset

#: Real steps of a round at most, those that score it included; and rounds.
REAL_STEPS, ROUNDS = 4_000, 3
#: That part of the recording as one of its own, while `improve` learns from it.
_PART_ID = "doubt/part-v0"
IN_THE_OTHER = "in the dream that ships"
#: In words, for those who read the figures.
FLAWED = f"(e), of a third of the recording and {sum(BRIEF):,} steps of training"


def in_reality(dream: Dream, doubt: str, steps: int | None, episodes: int, seed: int) -> dict[str, Any]:
    """Success in reality, and returns there and in the dream, of an agent that learned in a dream."""
    agent, _ = train_agent(dream, "ppo", steps, seed=seed, evaluations=1, device="cpu", doubt=doubt)
    return evaluate_agent(agent, dream, episodes, seed, ("stochastic",)).to_dict()["modes"]["stochastic"]


def write_part(dataset: str, dream: Dream) -> None:
    """Writes the episodes that (e) was trained on as a recording of their own."""
    recording, every = minari.load_dataset(dataset), round(1.0 / THIRD)
    chosen = range(every // 2, recording.total_episodes, every)
    options = [meta.get("options") for meta in recording.storage.get_episode_metadata(chosen)]
    played = [
        EpisodeBuffer(
            options=given,
            observations=episode.observations,
            actions=episode.actions,
            rewards=episode.rewards.tolist(),
            terminations=episode.terminations.tolist(),
            truncations=episode.truncations.tolist(),
        )
        for given, episode in zip(options, recording.iterate_episodes(chosen), strict=True)
    ]
    remove_dataset(_PART_ID)
    write_dataset(_PART_ID, played, dream)


def mended(dream: Dream, dataset: str, work: Path, episodes: int, seed: int) -> list[dict[str, Any]]:
    """What each round of `improve` came to: success in reality, and how often the dream was wrong."""
    write_part(dataset, dream)
    try:
        budget = Budget(real_steps=REAL_STEPS, real_total=REAL_STEPS * ROUNDS, episodes=episodes)
        output = work / "mended.safetensors"
        better = improve(dream, output, ROUNDS, _PART_ID, "ppo", budget, seed, overwrite=True, device="cpu")
    finally:
        remove_dataset(_PART_ID)
    return better.card.scores["rounds"]


def main() -> None:
    """Measures what is missing, prints tables and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="Minari id of the recording that (e) is trained on a part of")
    parser.add_argument("--work", type=Path, default=Path("runs/doubt"), help="folder of the dream (e)")
    parser.add_argument("--steps", type=int, help="of training each agent (default: what suits the dream)")
    parser.add_argument("--episodes", type=int, default=100, help="of each test in reality (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--json", type=Path, required=True, help="write the figures to this file")
    arguments = parser.parse_args()
    dream, shipped = flawed(arguments.dataset, arguments.work, THIRD, BRIEF), Dream.load("minigrid")
    path = flawed_file(arguments.work, THIRD, BRIEF)
    kept = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    same = kept.get("seed") == arguments.seed and kept[MEASURED_ON]["dream"] == measured_on(path, doubts=True)["dream"]
    figures: dict[str, Any] = kept if same else {"seed": arguments.seed, "flawed dream": FLAWED, "agents": {}}
    for name, where in ((IN_THE_OTHER, shipped), *((doubt, dream) for doubt in DOUBT)):
        if name not in figures["agents"]:
            doubt = "ignore" if where is shipped else name
            figures["agents"][name] = in_reality(where, doubt, arguments.steps, arguments.episodes, arguments.seed)
            write_results(arguments.json, figures, path, doubts=True)
    if "improve" not in figures:
        figures["improve"] = mended(dream, arguments.dataset, arguments.work, arguments.episodes, arguments.seed)
        write_results(arguments.json, figures, path, doubts=True)
    names = ("success", "return")
    agents = [(name, *(interval(row["reality"][each]) for each in names)) for name, row in figures["agents"].items()]
    show("PPO in a dream that trained too briefly", ("doubt", "success in reality", "return in reality"), agents)
    rounds = [
        (f"{number}", interval(row["agent"]["reality"]["success"]), f"{row['wrong before']:.4f}")
        for number, row in enumerate(figures["improve"], 1)
    ]
    show("improve", ("round", "success in reality of its agent", "transitions that its dream got wrong"), rounds)


if __name__ == "__main__":
    main()
