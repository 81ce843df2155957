"""The polynomial that compiled code takes GELU from."""

import numpy as np
from scipy.stats import norm

from nova_gym.kernels.gelu import CLAMP, COEFFICIENTS, SQUARINGS


def test_it_is_gelu_to_2e_6_in_single_precision_however_large_x_is():
    x = np.concatenate([np.linspace(-8, 8, 100_001), [-1e30, -1e3, 1e3, 1e30]]).astype(np.float32)
    size = np.minimum(np.abs(x), np.float32(CLAMP))
    tail = np.zeros_like(x)
    for coefficient in COEFFICIENTS:
        tail = tail * size + np.float32(coefficient)
    for _ in range(SQUARINGS):
        tail = tail * tail
    ours, exact = np.maximum(x, 0) - size * tail, x.astype(np.float64) * norm.cdf(x.astype(np.float64))
    assert np.all(np.abs(ours - exact) <= 2e-6 + 2e-7 * np.abs(exact))
