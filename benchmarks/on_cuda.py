"""The dream on a CUDA device: is the fused renderer right, and how fast are rendering and stepping?

    python -m nova_gym.benchmarks.on_cuda --json figures.json

It needs a CUDA device, torch with Triton, NumPy, safetensors and the core of `nova_gym`. Gymnasium, MiniGrid and
Stable-Baselines3 are not needed, so it runs on a machine with PyTorch and little else.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from nova_gym import kernels
from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.tables import show
from nova_gym.dream import Dream
from nova_gym.model import inr
from nova_gym.model.inr import Renderer
from nova_gym.simulator import DreamSimulator

SIZES, BATCHES, STEP_BATCHES = (72, 512, 1024), (1, 64, 1024), (256, 4096, 65536)
#: The most pixels that plain PyTorch is timed on, and the most that the two renderers are compared on.
_PLAIN, _COMPARED = 64 * 1024**2, 16 * 1024**2
_MATRIX = 8192

Row = dict[str, object]


def milliseconds(work: Callable[[], object], budget: float = 300.0) -> float:
    """Median milliseconds of `work` by CUDA events, from at least 3 runs that take about `budget` milliseconds."""
    for _ in range(2):
        work()
    torch.cuda.synchronize()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < budget and len(times) < 200):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        work()
        ended.record()
        ended.synchronize()
        times.append(began.elapsed_time(ended))
    return statistics.median(times)


def check_agreement(dream: Dream, generator: torch.Generator) -> list[Row]:
    """Largest differences between the fused renderer and plain PyTorch, in grey levels, for each size and batch.

    Of the dream, of random networks whose neighbours are blended, and of one random network for the whole frame; then
    of the first two where a few cells alone are drawn over, against frames that are drawn as a whole.
    """
    rows: list[Row] = []
    for size in SIZES:
        for batch in BATCHES:
            fields = _fields(dream, size, batch, generator)
            row: Row = {"size": size, "batch": batch}
            for name, (renderer, states) in fields.items():
                row[f"{name}, bytes"] = _difference(renderer, states, size, True)
                row[f"{name}, floats"] = _difference(renderer, states[: max(1, _PLAIN // size**2)], size, False)
                row[f"{name}, changed"] = _difference_of_changes(renderer, states, size, generator)
            rows.append(row)
            print("agreement", row, flush=True)
    return rows


def _fields(dream: Dream, size: int, batch: int, generator: torch.Generator) -> dict[str, tuple[Renderer, Tensor]]:
    """Renderers of frames of a size, and states for them to draw."""
    model, bank = dream.world_model, dream.starts["random"]
    dreamt = bank[torch.randint(len(bank), (batch,), generator=generator).to(bank.device)]
    renderer, scale = model.renderer(size, size), 0.5 + 2.0 * torch.rand(1, generator=generator).item()
    basis = torch.randn(renderer.basis.shape, generator=generator) * renderer.basis.std().item()
    other = renderer._replace(basis=basis.to(bank.device), blend=True)
    random = torch.randn(dreamt.shape, generator=generator) * bank.std().item() * scale
    random = random.to(bank.device)
    one = random[:, :, :1, :1].contiguous()
    return {"dream": (renderer, dreamt), "blended": (other, random), "one cell": (other, one)}


def _difference(renderer: Renderer, states: Tensor, size: int, as_bytes: bool) -> float:
    """Largest difference in grey levels. The fused renderer draws all frames; the first and last are compared."""
    dtype = torch.uint8 if as_bytes else torch.float32
    values = len(states) * size * size * renderer.config.channels
    soiled = torch.full((values,), 77, dtype=dtype, device=states.device)
    del soiled  # the picture gets this memory, so pixels that the renderer leaves out show up
    drawn = inr.render(renderer, states, size, size, as_bytes)
    count = min(len(states), max(1, _COMPARED // size**2))
    worst = 0.0
    for rows in (slice(0, count), slice(len(states) - count, len(states))):
        expected = inr.render_by_layers(renderer, states[rows], size, size, as_bytes)
        worst = max(worst, (drawn[rows].float() - expected.float()).abs().max().item())
    return worst if as_bytes else worst * 255.0


def _difference_of_changes(renderer: Renderer, states: Tensor, size: int, generator: torch.Generator) -> float:
    """Largest difference in grey levels between frames with some cells drawn over and frames drawn as a whole."""
    changed = (torch.rand(len(states), *states.shape[2:], generator=generator) < 0.1).to(states.device)
    following = torch.where(changed[:, None], states.flip(0), states)
    frames = inr.render(renderer, states, size, size, True)
    inr.render(renderer, following, size, size, True, frames, changed)
    whole = inr.render(renderer, following, size, size, True)
    return max((a.int() - b.int()).abs().max().item() for a, b in zip(frames.split(64), whole.split(64), strict=True))


def time_rendering(dream: Dream) -> list[Row]:
    """Times the fused renderer and plain PyTorch, as bytes, beside the rate of a float32 matrix product."""
    model, bank = dream.world_model, dream.starts["random"]
    matrix = torch.rand(_MATRIX, _MATRIX, device=bank.device)
    product = 2 * _MATRIX**3 / milliseconds(lambda: matrix @ matrix)
    rows: list[Row] = []
    for size in SIZES:
        for batch in BATCHES:
            states = bank[torch.arange(batch, device=bank.device) % len(bank)]
            renderer = model.renderer(size, size)
            cost = 2 * sum(inputs * outputs for inputs, outputs in inr.layer_sizes(renderer.config))  # FLOP a pixel
            fused = milliseconds(_drawing(inr.render, renderer, states, size))
            row: Row = {"size": size, "batch": batch, "fused ms": fused, "frames/s": batch / fused * 1e3}
            row["÷ matrix product"] = batch * size**2 * cost / fused / product
            row["blended ms"] = milliseconds(_drawing(inr.render, renderer._replace(blend=True), states, size))
            frames, changed = inr.render(renderer, states, size, size, True), torch.zeros_like(states[:, 0]).bool()
            changed[:, :3, 0] = True
            row["3 cells ms"] = milliseconds(_drawing(inr.render, renderer, states, size, frames, changed))
            if batch * size**2 <= _PLAIN:
                plain = milliseconds(_drawing(inr.render_by_layers, renderer, states, size))
                row |= {"plain ms": plain, "fused ÷ plain": plain / fused}
            rows.append(row)
            print("rendering", row, flush=True)
    return rows


def time_launches(dream: Dream) -> list[Row]:
    """Times the fused renderer with other blocks and warps than it uses, on 64 × 72² and 16 × 1024²."""
    from nova_gym.kernels import render_cuda

    model, bank = dream.world_model, dream.starts["random"]
    kept = render_cuda._BLOCK, render_cuda._WARP
    rows: list[Row] = []
    for block, pixels in ((64, 32), (64, 64), (128, 64), (128, 128), (256, 128), (512, 64), (512, 128), (1024, 128)):
        render_cuda._BLOCK, render_cuda._WARP = block, pixels
        row: Row = {"block": block, "pixels a warp": pixels}
        for batch, size in ((64, 72), (16, 1024)):
            row[f"{batch} × {size}² ms"] = milliseconds(
                _drawing(inr.render, model.renderer(size, size), bank[:batch], size)
            )
        rows.append(row)
        print("launch", row, flush=True)
    render_cuda._BLOCK, render_cuda._WARP = kept
    return rows


def _drawing(render: Callable, renderer: Renderer, states: Tensor, size: int, *changes: Tensor) -> Callable[[], Tensor]:
    return lambda: render(renderer, states, size, size, True, *changes)


def time_stepping(dream: Dream) -> list[Row]:
    """Steps per second of the simulator, without and with a frame after each step, launched and as a CUDA graph."""
    model, bank = dream.world_model, dream.starts["random"]
    rows: list[Row] = []
    for batch in STEP_BATCHES:
        simulator = DreamSimulator(dream, batch, horizon=0)
        actions = torch.arange(batch, device=bank.device) % model.config.actions
        simulator.reset(states=bank[torch.arange(batch, device=bank.device) % len(bank)])

        def latents(simulator=simulator, actions=actions) -> None:
            simulator.step(actions)

        def pixels(simulator=simulator, actions=actions) -> None:
            simulator.step(actions)
            model.render(simulator.state, as_bytes=True)

        row: Row = {"batch": batch}
        for name, work in (("latents", latents), ("pixels", pixels)):
            row[name] = batch / milliseconds(work) * 1e3
            replay, _ = as_graph(simulator, work)
            row[f"{name}, graph"] = batch / milliseconds(replay) * 1e3
        rows.append(row)
        print("stepping", row, flush=True)
    return rows


def as_graph(simulator: DreamSimulator, work: Callable[[], object]) -> tuple[Callable[[], None], Tensor]:
    """Records `work`, which steps the simulator, as a CUDA graph.

    Returns:
        A function that replays the graph, each time from where the last replay ended, and the states
        (N, K, rows, cols) float32 that replays write to.
    """
    state, steps = simulator.state.clone(), simulator.steps.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # a first call may allocate, which must not happen on the recording stream
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    simulator.state, simulator.steps = state, steps
    with torch.cuda.graph(graph):
        work()
        state.copy_(simulator.state)
        steps.copy_(simulator.steps)
    return graph.replay, state


def check_graph(dream: Dream) -> float:
    """Largest difference between states after 20 launched and 20 replayed steps; it should be 0."""
    bank, batch = dream.starts["random"], 64
    places = torch.arange(batch, device=bank.device)
    simulator = DreamSimulator(dream, batch, horizon=0)

    def step() -> None:
        simulator.step(places % 3)

    simulator.reset(states=bank[places])
    for _ in range(20):
        step()
    expected = simulator.state
    simulator.reset(states=bank[places])
    replay, state = as_graph(simulator, step)
    for _ in range(20):
        replay()
    return (state - expected).abs().max().item()


def _show(title: str, rows: list[Row]) -> None:
    """Prints rows as a table, with the columns of the first row."""
    columns = list(rows[0])
    show(title, columns, [[_cell(row.get(column, "")) for column in columns] for row in rows])


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and value < 1e4 else f"{value:,.0f}" if value != "" else ""


def main() -> None:
    """Runs all parts, writes the JSON file after each, and prints short tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write all figures to")
    parser.add_argument("--dream", default="minigrid", help="name of a shipped dream or path of a file")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("on_cuda needs a CUDA device, and PyTorch finds none")
    fused = kernels.find("render", "cuda")
    if fused is None:
        sys.exit("on_cuda needs Triton, which comes with the CUDA builds of PyTorch")
    dream = Dream.load(arguments.dream).to("cuda")
    generator = torch.Generator().manual_seed(0)
    device, versions = torch.cuda.get_device_name(), f"PyTorch {torch.__version__}, Triton {fused.triton.__version__}"
    results: dict[str, object] = {"device": device, "versions": versions}
    parts: dict[str, Callable[[], list[Row]]] = {
        "agreement with plain PyTorch, grey levels": lambda: check_agreement(dream, generator),
        "rendering": lambda: time_rendering(dream),
        "launches of the fused renderer": lambda: time_launches(dream),
        "steps per second": lambda: time_stepping(dream),
        "20 steps as a graph against launches": lambda: [{"largest difference of states": check_graph(dream)}],
    }
    for title, part in parts.items():
        results[title] = part()
        write_results(arguments.json, results, arguments.dream)
    print(f"\n{device}, {versions}")
    for title in parts:
        _show(title, results[title])
    worst = max(value for row in results[next(iter(parts))] for key, value in row.items() if ", " in key)
    print(f"\nworst difference: {worst:.3g} grey levels, {'within' if worst <= 1.0 else 'ABOVE'} the promised 1")
    sys.exit(worst > 1.0)


if __name__ == "__main__":
    main()
