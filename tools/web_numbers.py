"""Writes the reference numbers of `npm test` in `web/`: small random dreams, and what Python makes of them.

`python tools/web_numbers.py` writes `web/tests/numbers.json`. A test compares that file with what this makes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from nova_gym import Card, Dream, DreamSimulator, WorldModel
from nova_gym.editing import LAYERS, layer
from nova_gym.model.config import ControlConfig, INRConfig, ModelConfig
from nova_gym.web import Level
from nova_gym.web.page import packed

FILE = Path(__file__).parent.parent / "web" / "tests" / "numbers.json"
STEPS, CELLS = 6, (2, 3)
SMALL = {
    **{"frame_size": (16, 16), "inr": INRConfig(frequencies=2, width=5, layers=2), "encoder_widths": (4, 4)},
    **{"rank": 4, "latent_action": 2, "hidden": 6, "head_hidden": 5},
}
CASES: dict[str, tuple[ModelConfig, dict[str, Any]]] = {
    "plain": (
        ModelConfig(**SMALL, actions=3, reward_values=(0.0, 1.0), doubt=5, control=ControlConfig(3, 2)),
        {"horizon": 5, "reward_discount": 0.9, "dead_band": 1e-3, "action_names": ["left", "right", "other"]},
    ),
    "few looks": (ModelConfig(**SMALL, actions=2, reward_values=(0.0, 1.0), looks=7), {"dead_band": 1e-2}),
    "memory and chance": (
        ModelConfig(
            **{**SMALL, "inr": INRConfig(1, 2, 7, 1), "detail": INRConfig(1, 4, 8, 1)},
            **{"actions": 2, "reward_values": (-1.0, 0.5, 2.0), "memory": 3, "outcomes": 3, "far": True},
            **{"everywhere": True, "blend": True, "doubt": 4},
        ),
        {"random_rewards": True, "random_endings": True},
    ),
    "numbers as actions": (
        ModelConfig(
            **{**SMALL, "cell": (16, 16), "reach": 1},
            **{"actions": 2, "discrete": False, "reward_values": (-1.0, 0.0, 3.0), "reward_bins": True},
        ),
        {},
    ),
    "video": (ModelConfig(**SMALL, actions=0, blend=True, control=ControlConfig(4, 1)), {}),
}


def numbers_of(config: ModelConfig, card: dict[str, Any]) -> dict[str, Any]:
    """A small random dream as a page holds it, and what becomes of it, JSON-ready."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = WorldModel(config, generator).eval().requires_grad_(False)
    for name, tensor in model.state_dict().items():
        if name.startswith("doubt.") and "network" not in name:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 2.0 - 0.5)
        if name.startswith("detail.") or name in ("control.linear", "control.constant", "looks"):  # which begin with 0
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        tensor.copy_(tensor.half())
    cells = (1, 1) if config.cell == config.frame_size else CELLS
    start = torch.randn(1, config.rank + config.memory, *cells, generator=generator).half().float()
    dream = Dream(model, {"official": start}, Card(**card))
    simulator = DreamSimulator(dream, cells=cells, doubt=model.has_doubt)
    simulator.reset(states=start, generator=generator)
    actions = _actions(config, generator)
    trace = [_step(simulator, action, generator) for action in actions]
    sizes = ((9, 20), (26, 40))
    state = simulator.state
    told = {"key": str(int(simulator.keys[0])), "actions": actions, "trace": trace}
    told["pictures"] = [
        {"size": size, "pixels": _rounded(model.render(state, size)[0].movedim(0, 2))} for size in sizes
    ]
    told["layers"] = {name: _cells(layer(model, name, model.seen(start), simulator.latent_action)) for name in LAYERS}
    page, packed_numbers = packed(dream, [Level("here", cells, dream.card.horizon, dream.starts)])
    return {"page": page, "numbers": packed_numbers, **told}


def _actions(config: ModelConfig, generator: torch.Generator) -> list[Any]:
    if not config.actions:
        return [None] * STEPS
    if config.discrete:
        return torch.randint(config.actions, (STEPS,), generator=generator).tolist()
    return (torch.rand(STEPS, config.actions, generator=generator) * 2.0 - 1.0).half().float().tolist()


def _step(simulator: DreamSimulator, action: Any, generator: torch.Generator) -> dict[str, Any]:
    """One step, by an action or where there is none by the control model, and what there is to see after it."""
    model, chosen = simulator.dream.world_model, None
    if model.has_control:
        memory = simulator.remember(())
        chosen = model.choose(memory, simulator.state)
    result = simulator.step_latent(chosen[1]) if action is None else simulator.step(torch.tensor([action]))
    made = {
        "state": _cells(result.state),
        "latent_action": _cells(result.latent_action),
        "reward": float(result.reward),
        "terminated": bool(result.terminated),
        "truncated": bool(result.truncated),
    }
    if simulator.follows_doubt:
        made |= {"doubt": float(simulator.doubt), "doubt_map": _rounded(simulator.doubt_map)}
    if chosen is not None and chosen[0] is not None:
        made["chosen"] = int(chosen[0])
    return made


def _cells(field: torch.Tensor) -> list[float]:
    return _rounded(field[0].permute(1, 2, 0))


def _rounded(numbers: torch.Tensor) -> list[float]:
    return [round(number, 5) for number in numbers.flatten().tolist()]


def text() -> str:
    """What the file holds."""
    made = {name: numbers_of(*case) for name, case in CASES.items()}
    return json.dumps(made, separators=(",", ":")).replace('"page"', '\n"page"').replace('"key"', '\n"key"') + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
