"""Closing the loop (Dyna; Sutton, 1991): act in reality, learn from where the dream was wrong, dream again."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import torch
from minari.data_collector import EpisodeBuffer
from minari.storage.datasets_root_dir import get_dataset_path
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import PolicyPredictor

from nova_gym.agents.actions import PlainActions, as_policy
from nova_gym.agents.doubting import CANDIDATES, TOGETHER, doubtful_starts
from nova_gym.agents.evaluation import evaluate_agent
from nova_gym.agents.saving import beside, load_agent, save_agent
from nova_gym.agents.training import train_agent
from nova_gym.data import Clips, join_clips, load_clips
from nova_gym.dream import Dream
from nova_gym.envs import RealityEnv, evaluate, make_reality, record
from nova_gym.envs.reality.base import Reality
from nova_gym.envs.reality.counterpart import reality_of
from nova_gym.envs.reality.coverage import LED_COVERAGE
from nova_gym.envs.reality.recording import check_dataset_id, write_dataset
from nova_gym.errors import BadInputError
from nova_gym.measures import share
from nova_gym.training import Run, check_recording, fine_tune, teach_doubt
from nova_gym.training.changes import wrong_transitions
from nova_gym.training.doubt import to_learn_from
from nova_gym.training.representation import encode_all

#: Share of the training samples that come from the original recording, if it is given. `Tuning` then draws transitions
#: that the dream gets wrong more often, and more of these are new.
OLD_SHARE = 0.5
#: Added to the seed of the episodes that judge a tuned dream, so that those of `nova-gym eval` stay unseen.
_JUDGED = 2000
#: A round is scored on fresh transitions, one for so many real steps. Their dataset is removed afterwards.
FRESH, _FRESH_ID = 4, "improve/fresh-v0"

Progress = Callable[..., None]


@dataclass(frozen=True)
class Budget:
    """What one round may cost, and all rounds together; every number is at least 1.

    Attributes:
        agent_steps: steps of training the agent in the dream; None for what suits the dream (`train_agent`).
        real_steps: steps of the agent in reality from which the dream learns.
        tuning_steps: optimiser steps on the dream.
        episodes: episodes of each evaluation.
        num_dreams: dreams that the agent trains in, stepped as one batch; None for what suits the dream.
        real_total: steps of the agent in reality in all rounds, those that score a round included. Where the rounds
            would take more, each takes less.
    """

    agent_steps: int | None = None
    real_steps: int = 4_000
    tuning_steps: int = 1000
    episodes: int = 100
    num_dreams: int | None = None
    real_total: int = 20_000

    def acting(self, rounds: int) -> tuple[int, int]:
        """Steps in reality of one of so many rounds: those that the dream learns from, and those that score it."""
        both = self.real_total // rounds
        steps = max(1, min(self.real_steps, both - both // (FRESH + 1)))
        return steps, max(1, min(steps // FRESH, both - steps))


def improve(
    dream: Dream,
    output: Path,
    rounds: int = 3,
    dataset: str | None = None,
    algorithm: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    progress: Progress = lambda part, done, total, text="": None,
) -> Dream:
    """Improves a dream by what an agent trained in it meets in reality.

    Each round trains the agent in the dream, lets it act in reality, fine-tunes the dream on what happened there, and
    evaluates both. The round keeps the dream unchanged in two cases: the dream predicted all new transitions correctly,
    or the tuned dream is worse (`_accepted`). The new transitions are used for tuning in all later rounds.

    Where the dream can doubt, every other real episode begins where it doubts most what the agent leads to; it is then
    taught to doubt anew. A dream with memory learns from random play where the agent has led: its own actions would
    tell what a memory should see.

    The encoder stays, so the agent can be trained further from round to round. Held-out layouts are never played, so
    `nova-gym eval` remains a fair test. After each round `output` holds the dream, `beside(output)` the agent, the
    Minari dataset `improve/<name of output>-round-<k>-v0` the real transitions, and `card.scores["rounds"]` the scores.

    Args:
        dream: the dream to start from; with `resume`, the one in `output` is taken instead.
        output: file of the improved dream.
        rounds: number of rounds in all, those before a resumption included.
        dataset: Minari id of the original recording. Without it the dream learns from the new transitions alone, and
            may forget what the agent does not visit.
        algorithm: `ppo`, `a2c`, `dqn` or `sac`, None for what suits the dream; a resumed run continues with the agent
            it has.
        budget: what one round may cost; None for the default.
        seed: of everything random.
        resume: continue after the last finished round.
        overwrite: replace the datasets of an earlier run with the same output.
        device: `auto` or `cpu`.
        progress: called as `progress(part, done, total, text)`.

    Returns:
        The improved dream.

    Raises:
        BadInputError: an argument is unknown or out of range, a dataset of a round exists already, the recording does
            not fit the dream, or `resume` finds no dream and agent at `output`.
    """
    if device not in ("auto", "cpu"):
        raise BadInputError(f"improve runs on device auto or cpu, not {device!r}")
    budget = budget or Budget()
    if rounds < 1 or min(n for n in vars(budget).values() if n is not None) < 1:
        raise BadInputError(f"rounds and budgets must be at least 1, not {rounds} and {budget}")
    agent_file, agent, first = beside(output), None, 0
    if resume:
        _finish_saving(output)
        if not (output.exists() and agent_file.exists()):
            raise BadInputError(
                f"nothing to resume: {output} and {agent_file} do not both exist; start without --resume"
            )
        dream = Dream.load(output)
        first = len(dream.card.scores.get("rounds", []))
    else:  # its own earlier rounds are not rounds of this run
        dream = replace(dream, card=copy.deepcopy(dream.card))
        dream.card.scores.pop("rounds", None)
    _clear(output, range(first, rounds), overwrite or resume)
    reality = reality_of(dream)
    recordings = [load_clips(dataset, lambda done, total: progress("reading", done, total))] if dataset else []
    for clips in recordings:
        check_recording(clips, dream, dataset, labels=True)
    recordings += [load_clips(_dataset_id(output, k)) for k in range(first)]
    encoding = lambda done, total: progress("encoding", min(done, total), total)  # noqa: E731
    states = [encode_all(dream.world_model, clips, encoding) for clips in recordings]
    dream = dream.to(device)
    acting, scoring = budget.acting(rounds)
    for k in range(first, rounds):
        said = _prefixed(progress, f"round {k + 1}: ")
        if k:  # from the files, so that a resumed run goes on from the very same numbers
            dream = Dream.load(output).to(device)
            agent = load_agent(agent_file, dream)
        agent, _ = train_agent(
            dream,
            algorithm,
            budget.agent_steps,
            budget.num_dreams,
            seed=seed + k,
            device=device,
            evaluations=1,
            episodes=budget.episodes,
            agent=agent,
            progress=said,
        )
        if dream.world_model.has_memory:
            _record_led(agent, dream, reality, acting, seed + k, _dataset_id(output, k), said)
        else:
            played = _act(agent, dream, reality, acting, seed + k, said, dream.world_model.has_doubt)
            write_dataset(_dataset_id(output, k), played, dream)
        recordings.append(load_clips(_dataset_id(output, k)))
        states.append(encode_all(dream.world_model, recordings[-1]))
        fresh = _act(agent, dream, reality, scoring, seed + k + 1000, said)
        write_dataset(_FRESH_ID, fresh, dream)
        tuned = None
        if wrong_transitions(dream.world_model, recordings[-1], states[-1]).any():
            tuned = _tune(dream, recordings, states, bool(dataset), budget, seed + k, output, device, said)
        scores = _scores(dream, tuned, agent, load_clips(_FRESH_ID), budget, seed, said)
        minari.delete_dataset(_FRESH_ID)
        kept = tuned if scores["accepted"] else dream
        save_agent(agent, _coming(output), kept)
        scores["agent's file"] = _digest(_coming(output))
        rounds_done = [*dream.card.scores.get("rounds", []), scores]
        kept = replace(kept, card=replace(kept.card, scores={"rounds": rounds_done}))
        kept.save(output)  # from here on the round is done
        _finish_saving(output)
        dream = kept.to(device)
    return dream.to("cpu")


def _record_led(
    agent: BaseAlgorithm, dream: Dream, reality: Reality, steps: int, seed: int, dataset: str, progress: Progress
) -> None:
    """Records random play where the agent has led, so that both together take at most so many steps in reality.

    A memory would learn to read the actions of an agent that knows more than the frames show.
    """
    agent.set_random_seed(seed)
    recorded = max(1, steps // sum(1 + kind.led // kind.length for kind in LED_COVERAGE))
    record(
        reality.spec,
        dataset,
        recorded,
        seed,
        lambda done: progress("acting in reality", min(done, recorded), recorded),
        policy=as_policy(agent),
        make=lambda: RealityEnv(dream, "latent"),
        led=True,
    )


def _act(
    agent: PolicyPredictor,
    dream: Dream,
    reality: Reality,
    steps: int,
    seed: int,
    progress: Progress,
    doubting: bool = False,
) -> list[EpisodeBuffer]:
    """Real episodes of the agent with drawn actions, `steps` transitions in all, without held-out layouts.

    With `doubting`, every other episode begins where the dream doubts most what the agent leads to.
    """
    env = make_reality(dream, "latent", device=dream.world_model.device)
    hold_out, actor = reality.can_hold_out(env.env), PlainActions(env)
    rng = np.random.default_rng([seed, 0xDA])
    buffers, count, waiting = [], 0, []
    while count < steps:
        if doubting and not waiting:
            drawn = rng.integers(2**31, size=CANDIDATES * TOGETHER)
            worst = doubtful_starts(agent, dream, env, drawn)[:TOGETHER]
            waiting = [each for pair in zip(worst, rng.integers(2**31, size=TOGETHER), strict=True) for each in pair]
        start = int(waiting.pop(0) if waiting else rng.integers(2**31))
        seen, _ = env.reset(seed=start)
        if hold_out and reality.is_held_out(env.env):
            continue
        frames, actions, rewards, ends, cuts = [env.frame()], [], [], [], []
        while count + len(actions) < steps:
            action = actor.action(agent.predict(seen[None], deterministic=False)[0][0])
            seen, reward, terminated, truncated, _ = env.step(action)
            frames.append(env.frame())
            actions.append(action)
            rewards.append(float(reward))
            ends.append(bool(terminated))
            cuts.append(bool(truncated))
            if terminated or truncated:
                break
        count += len(actions)
        buffers.append(
            EpisodeBuffer(
                seed=start,
                options={"kind": "an agent's", "starts": "official"},
                observations=np.stack(frames),
                actions=np.asarray(actions, dtype=env.action_space.dtype),
                rewards=rewards,
                terminations=ends,
                truncations=cuts,
            )
        )
        progress("acting in reality", count, steps)
    env.close()
    return buffers


def _tune(
    dream: Dream,
    recordings: list[Clips],
    states: list[torch.Tensor],
    has_original: bool,
    budget: Budget,
    seed: int,
    output: Path,
    device: str,
    progress: Progress,
) -> Dream:
    clips = _joined(dream, recordings, has_original)
    run = Run(output.with_suffix(".ckpt"), device=device, progress=progress)
    tuned = fine_tune(dream, clips, torch.cat(states), budget.tuning_steps, seed, run)
    return teach_doubt(tuned, recordings, seed) if dream.world_model.has_doubt else tuned


def _joined(dream: Dream, recordings: list[Clips], has_original: bool) -> Clips:
    """All recordings as one to tune on, without what the doubt of the tuned dream is calibrated on."""
    new = len(recordings) - has_original
    shares = [OLD_SHARE] * has_original + [(1 - OLD_SHARE * has_original) / new] * new
    return join_clips([to_learn_from(dream, clips) for clips in recordings], shares)


def _scores(
    before: Dream,
    after: Dream | None,
    agent: BaseAlgorithm,
    fresh: Clips,
    budget: Budget,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Scores of a round, JSON-ready; `after` is None if the dream was not tuned.

    Shares of wrong transitions are measured on fresh episodes of the same agent, which tuning did not see. The gap is
    between reality and the dream that the agent was trained in, which is `before`.
    """
    states = encode_all(before.world_model, fresh)
    acting = evaluate_agent(agent, before, budget.episodes, seed, ("stochastic",), progress)
    scores = {
        "fresh transitions": len(fresh.source),
        "agent": acting.to_dict()["modes"]["stochastic"],
        "gap": acting.gap["stochastic"].to_dict(),
    }
    for name, dream in (("before", before), ("after", after or before)):
        if dream is not before or name == "before":
            fidelity = evaluate(dream, budget.episodes, seed=seed + _JUDGED, progress=progress).to_dict()
            wrong = float(wrong_transitions(dream.world_model, fresh, states).float().mean())
        scores |= {f"wrong {name}": wrong, f"open loop {name}": fidelity["open_loop"]}
    return scores | {"accepted": after is not None and _accepted(scores)}


def _accepted(scores: dict[str, Any]) -> bool:
    """Whether a tuned dream replaces the one before. Both conditions must hold.

    At each reported step of the open-loop rollouts, its share of exact frames (PSNR if frames have no tiles) reaches at
    least the lower end of the earlier 95 % interval. And it gets at most as many fresh transitions wrong as the one
    before; if frames have no tiles, where that is a matter of degree, at most the upper end of the earlier interval.
    """
    before, after = scores["open loop before"], scores["open loop after"]
    tiles = all("exact" in step for step in before.values())
    count, most = scores["fresh transitions"], scores["wrong before"]
    if not tiles:
        most = share(np.arange(count) < round(most * count)).high
    metric = "exact" if tiles else "psnr"
    near = all(after[step][metric]["value"] >= before[step][metric]["low"] for step in before)
    return near and scores["wrong after"] <= most


def _coming(output: Path) -> Path:
    """Where the agent of a round waits until the dream of that round is saved."""
    return beside(output).with_suffix(".coming.safetensors")


def _finish_saving(output: Path) -> None:
    """Puts an agent that waits in its place, if the dream is of the same round; else removes it."""
    if not (coming := _coming(output)).exists():
        return
    rounds = Dream.load(output).card.scores.get("rounds") if output.exists() else None
    if rounds and rounds[-1].get("agent's file") == _digest(coming):
        coming.replace(beside(output))
    else:
        coming.unlink()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _dataset_id(output: Path, k: int) -> str:
    return f"improve/{output.stem}-round-{k + 1}-v0"


def _clear(output: Path, rounds: range, replace_them: bool) -> None:
    """Removes old datasets of the rounds to come if `replace_them`, and checks that their ids can be used."""
    for k in rounds:
        if replace_them:
            shutil.rmtree(get_dataset_path(_dataset_id(output, k)), ignore_errors=True)
        check_dataset_id(_dataset_id(output, k))
    shutil.rmtree(get_dataset_path(_FRESH_ID), ignore_errors=True)


def _prefixed(progress: Progress, prefix: str) -> Progress:
    return lambda part, done, total, text="": progress(prefix + part, done, total, text)
