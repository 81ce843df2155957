"""What a dream takes along to the Hugging Face hub: its file, a model card and a film."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nova_gym import hub
from nova_gym.dream import Dream
from nova_gym.files import write_text
from nova_gym.pictures import film, save_gif
from nova_gym.simulator import DreamSimulator
from nova_gym.version import __version__

#: Dreams side by side in the film, its steps, and how many times larger than real frames it is drawn.
_DREAMS, _STEPS, _LARGER = 3, 40, 2
_PAPER = "https://arxiv.org/abs/2605.06298"


def publish(dream: Dream, repository: str, licence: str, private: bool, revision: str | None, token: str | None) -> str:
    """`Dream.push_to_hub`."""
    repository = hub.make_repository(repository, private, token)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        card = card_of(dream, repository, licence)
        dream.save(folder / hub.DREAM)
        write_text(folder / hub.CARD, card)
        save_gif(folder / hub.FILM, film_of(dream))
        return hub.upload(repository, folder, revision, token)


def card_of(dream: Dream, repository: str, licence: str) -> str:
    """The model card of a dream, in the hub's form: what it is, a film, how to use it, what it is worth."""
    about, config = dream.card, dream.world_model.config
    of = about.env_id or "video"
    size = f"{dream.frame_size[0]} × {dream.frame_size[1]}"
    options = "" if dream.world_model.has_actions else ', action="latent"'
    make = f'gym.make("nova_gym:NovaDream-v0", dream="hf://{repository}", render_mode="rgb_array"{options})'
    parts = [
        f"# A dream of {of}",
        f"A learned simulator that is stepped as a Gymnasium environment, made with nova-gym {__version__}. It draws "
        f"frames of {size} pixels, or of any other size, from states of {config.rank + config.memory} numbers in each "
        f"of {dream.cells[0]} × {dream.cells[1]} cells. The method is that of [Render, Don't Decode]({_PAPER}).",
        f"![What is dreamt]({hub.FILM})",
        "## Use",
        "```sh\npip install 'nova-gym[hub]'\n```",
        f"```python\nimport gymnasium as gym\n\nenv = {make}\nobservation, info = env.reset(seed=0)\n"
        "observation, reward, terminated, truncated, info = env.step(env.action_space.sample())\n"
        "picture = env.render()\n```",
        f"Or `nova-gym play hf://{repository}`, or `nova_gym.Dream.from_pretrained({repository!r})`. The file holds "
        "tensors and JSON; loading it runs nothing.",
        "## Scores",
        _scores(about.scores),
    ]
    tags = ["nova-gym", "world-model", "gymnasium", *([about.env_id.rpartition(":")[2]] if about.env_id else [])]
    kind = "reinforcement-learning" if dream.world_model.has_actions else None
    text = "\n\n".join(parts) + "\n"
    return hub.model_card(text, license=licence, library_name="nova-gym", tags=tags, pipeline_tag=kind)


def _scores(scores: dict[str, Any]) -> str:
    """Measured figures as a table, in Markdown."""
    rows = [f"| {name} | {value} |" for name, value in _figures(scores)]
    if not rows:
        return "None measured yet: `nova-gym eval` measures how true a dream is."
    return "\n".join(["Brackets are 95 % confidence intervals.", "", "| figure | value |", "| --- | --- |", *rows])


def _figures(scores: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Names and values of all figures in nested scores: those with an interval, as `eval` writes them."""
    if not isinstance(scores, dict):
        return
    numbers = [scores.get(key) for key in ("value", "low", "high")]
    if all(isinstance(number, int | float) for number in numbers):
        value, low, high = numbers
        yield ", ".join(path).replace("|", "/"), f"{value:.4g} [{low:.4g}, {high:.4g}]"
        return
    for name, inner in scores.items():
        yield from _figures(inner, (*path, str(name)))


def film_of(dream: Dream, seed: int = 0) -> list[np.ndarray]:
    """Pictures (H, W, 3) uint8 of some dreams side by side, moved by random actions or by the control model."""
    draws, config = torch.Generator().manual_seed(seed), dream.world_model.config
    dream = dream.to("cpu")
    simulator = DreamSimulator(dream, _DREAMS)
    simulator.reset(generator=draws)
    size = tuple(_LARGER * side for side in dream.frame_size)
    frames = [simulator.render(size)]
    for _ in _moves(simulator, draws):
        frames.append(simulator.render(size))
    shown = torch.stack(frames, dim=1).mul(255.0).add(0.5).to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
    shown = shown if config.inr.channels == 3 else shown[..., :1]
    return film({f"dream {number + 1}": clip for number, clip in enumerate(shown)})


def _moves(simulator: DreamSimulator, draws: torch.Generator) -> Iterator[None]:
    """Steps the dreams; those that end begin again."""
    model, config = simulator.dream.world_model, simulator.dream.world_model.config
    if not model.has_actions and model.has_control:
        for _ in simulator.autopilot(_STEPS):
            yield
        return
    for _ in range(_STEPS):
        if model.has_discrete_actions:
            ended = simulator.step(torch.randint(config.actions, (_DREAMS,), generator=draws))
        elif model.has_actions:
            ended = simulator.step(torch.rand(_DREAMS, config.actions, generator=draws) * 2.0 - 1.0)
        else:
            numbers = torch.rand(_DREAMS, model.places + config.latent_action, generator=draws) * 2.0 - 1.0
            ended = simulator.step_latent(model.place(numbers, simulator.cells))
        if (over := ended.terminated | ended.truncated).any():
            simulator.reset(over, generator=draws)
        yield
