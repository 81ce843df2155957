"""The dream on a CUDA device: does the fused renderer agree, and how fast are rendering and stepping?

    python -m nova_gym.benchmarks.on_cuda --json figures.json

Apart from the other benchmarks, since a machine with such a device may have PyTorch and little else: this needs torch,
NumPy, safetensors and the core of `nova_gym`, nothing of Gymnasium, MiniGrid or Stable-Baselines3.
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
from nova_gym.simulator import DreamSimulator

SIZES, BATCHES, STEP_BATCHES = (72, 512, 1024), (1, 64, 1024), (256, 4096, 65536)
#: Pixels that plain PyTorch is asked for at most, in time, and that the two are compared on at most.
_PLAIN, _COMPARED = 64 * 1024**2, 16 * 1024**2
_MATRIX = 8192

Row = dict[str, object]


def milliseconds(work: Callable[[], object], budget: float = 300.0) -> float:
    """Median time of `work` by CUDA events, within about `budget` milliseconds and at least 3 times."""
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
    """Largest differences between the fused renderer and plain PyTorch, in grey levels, for each size and batch."""
    model = dream.world_model
    config, bank = model.config.inr, dream.starts["random"]
    rows: list[Row] = []
    for size in SIZES:
        for batch in BATCHES:
            scale = 0.05 + 0.45 * torch.rand(1, generator=generator).item()
            random = torch.randn(batch, inr.weight_count(config), generator=generator) * scale
            states = bank[torch.randint(len(bank), (batch,), generator=generator).to(bank.device)]
            row: Row = {"size": size, "batch": batch}
            for name, weights in (("random", random.to(bank.device)), ("dream", model.weights(states))):
                row[f"{name}, bytes"] = _difference(weights, size, config, True)
                row[f"{name}, floats"] = _difference(weights[: max(1, _PLAIN // size**2)], size, config, False)
            rows.append(row)
            print("agreement", row, flush=True)
    return rows


def _difference(weights: Tensor, size: int, config: inr.INRConfig, as_bytes: bool) -> float:
    """Grey levels; the whole batch is drawn fused, its first and last frames are compared."""
    dtype = torch.uint8 if as_bytes else torch.float32
    soiled = torch.full((len(weights) * size * size * config.channels,), 77, dtype=dtype, device=weights.device)
    del soiled  # the allocator gives its memory to the picture: what the renderer leaves out shows
    drawn = inr.render(weights, size, size, config, as_bytes=as_bytes)
    count = min(len(weights), max(1, _COMPARED // size**2))
    worst = 0.0
    for rows in (slice(0, count), slice(len(weights) - count, len(weights))):
        expected = inr.render_by_layers(weights[rows], size, size, config, as_bytes=as_bytes)
        worst = max(worst, (drawn[rows].float() - expected.float()).abs().max().item())
    return worst if as_bytes else worst * 255.0


def time_rendering(dream: Dream) -> list[Row]:
    """Fused beside plain, as bytes, and both beside a float32 matrix product's rate."""
    model = dream.world_model
    config, bank = model.config.inr, dream.starts["random"]
    matrix = torch.rand(_MATRIX, _MATRIX, device=bank.device)
    product = 2 * _MATRIX**3 / milliseconds(lambda: matrix @ matrix)
    cost = 2 * sum(inputs * outputs for inputs, outputs in inr.layer_sizes(config))  # FLOP a pixel, as in `rendering`
    rows: list[Row] = []
    for size in SIZES:
        for batch in BATCHES:
            weights = model.weights(bank[torch.arange(batch, device=bank.device) % len(bank)])
            fused = milliseconds(lambda w=weights, s=size: inr.render(w, s, s, config, as_bytes=True))
            row: Row = {"size": size, "batch": batch, "fused ms": fused, "frames/s": batch / fused * 1e3}
            row["÷ matrix product"] = batch * size**2 * cost / fused / product
            if batch * size**2 <= _PLAIN:
                plain = milliseconds(lambda w=weights, s=size: inr.render_by_layers(w, s, s, config, as_bytes=True))
                row |= {"plain ms": plain, "fused ÷ plain": plain / fused}
            rows.append(row)
            print("rendering", row, flush=True)
    return rows


def time_launches(dream: Dream) -> list[Row]:
    """The fused renderer with other blocks and warps than it uses: 64 × 72² and 16 × 1024²."""
    from nova_gym.kernels import render_cuda

    model, bank = dream.world_model, dream.starts["random"]
    kept = render_cuda._BLOCK, render_cuda._WARPS
    rows: list[Row] = []
    for block, warps in ((128, 2), (128, 4), (256, 2), (256, 4), (512, 4), (512, 8), (1024, 8)):
        render_cuda._BLOCK, render_cuda._WARPS = block, warps
        row: Row = {"block": block, "warps": warps}
        for batch, size in ((64, 72), (16, 1024)):
            weights = model.weights(bank[:batch])
            work = _drawing(weights, size, model.config.inr)
            row[f"{batch} × {size}² ms"] = milliseconds(work)
        rows.append(row)
        print("launch", row, flush=True)
    render_cuda._BLOCK, render_cuda._WARPS = kept
    return rows


def _drawing(weights: Tensor, size: int, config: inr.INRConfig) -> Callable[[], Tensor]:
    return lambda: inr.render(weights, size, size, config, as_bytes=True)


def time_stepping(dream: Dream) -> list[Row]:
    """Steps per second of the simulator: in latents, and with a frame as bytes after each; launched and as a graph."""
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
    """`work`, which steps the simulator, recorded once as a CUDA graph.

    Returns:
        Its replay, which goes on from where the last one ended; the (N, K) states, which the replays write to.
    """
    state, steps = simulator.state.clone(), simulator.steps.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # whatever is made at a first call is made away from the stream that records
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
    """Largest difference between states after 20 steps by launches and by replays, which should be the same."""
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
    """Prints rows, the columns being those of the first."""
    columns = list(rows[0])
    show(title, columns, [[_cell(row.get(column, "")) for column in columns] for row in rows])


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and value < 1e4 else f"{value:,.0f}" if value != "" else ""


def main() -> None:
    """Runs everything, writes the JSON file after each part, and ends with short tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where to write all figures")
    parser.add_argument("--dream", default="minigrid", help="name of a shipped dream or path of a file")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("on_cuda needs a CUDA device; there is none")
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
    print(
        f"\nworst difference: {worst:.3g} grey levels, {'within' if worst <= 1.0 else 'ABOVE'} the 1 that is promised"
    )
    sys.exit(worst > 1.0)


if __name__ == "__main__":
    main()
