"""Compiled code takes the widest vectors that a processor has, and computes the same with any.

Run as a program it computes with those that `NUMBA_CPU_FEATURES` leaves, and keeps the results in a file.
"""

import os
import subprocess
import sys

import pytest
import torch

from nova_gym import Dream, DreamSimulator
from nova_gym.model import inr


def computed():
    """States of 13 dreams after three steps, frames, and points with the gradient of their weights."""
    dream = Dream.load("minigrid")
    simulator = DreamSimulator(dream, 13, 0)
    simulator.reset(generator=torch.Generator().manual_seed(0))
    for action in (2, 1, 2):
        states = simulator.step(torch.full((13,), action)).state
    config, weights = dream.world_model.config.inr, dream.world_model.weights(states[:2]).requires_grad_()
    drawn = inr.render_at(weights, inr.coordinate_grid(9, 11), config)
    (slope,) = torch.autograd.grad(drawn.square().sum(), weights)
    return {"states": states, "frames": inr.render(weights, 72, 72, config), "points": drawn.detach(), "slope": slope}


def test_a_processor_without_avx512_computes_the_same(tmp_path):
    binding = pytest.importorskip("llvmlite.binding", reason="without Numba PyTorch does it all")
    features = binding.get_host_cpu_features().flatten().split(",")
    if "+avx512f" not in features:
        pytest.skip("this processor has no AVX-512: all other tests are of the shorter vectors")
    shorter = ",".join(feature for feature in features if not feature.startswith(("+avx512", "+avx10")))
    environment = {**os.environ, "NUMBA_CPU_FEATURES": shorter, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    file = tmp_path / "results.pt"
    subprocess.run([sys.executable, __file__, file], env=environment, check=True)
    results = torch.load(file)
    assert results.pop("lanes") == 8
    for name, expected in computed().items():
        assert (results[name] - expected).abs().max() <= 1e-4 * expected.abs().max()


if __name__ == "__main__":
    from nova_gym.kernels import tile as fused_tile

    torch.save({"lanes": fused_tile.LANES, **computed()}, sys.argv[1])
