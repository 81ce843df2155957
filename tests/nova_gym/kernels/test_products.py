"""Products of rows with a layer's weights are those of NumPy, and of a row alone, wherever its pieces lie."""

import math

import numpy as np
import pytest

products = pytest.importorskip("nova_gym.kernels.products", reason="without Numba PyTorch does it all")


def layer(segments, length, jump, outputs, seed=0):
    """A layer at some place among other numbers: its fields, all numbers, weights and biases."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(segments * length, outputs)).astype(np.float32)
    biases = generator.normal(size=outputs).astype(np.float32)
    packed = np.concatenate([np.ones(7, np.float32), weights.ravel(), biases])
    return np.array([7, segments, length, jump, outputs, 0, 0]), packed, weights, biases


def apply(fields, packed, source, places, curved):
    outputs = fields[products.OUTPUTS]
    target, goals = np.zeros(len(places) * outputs, np.float32), np.arange(len(places)) * outputs
    products.apply(fields, packed, source, places, target, goals, len(places), curved)
    return target.reshape(len(places), outputs)


@pytest.mark.parametrize("outputs", [16, 32, 48, 80])
@pytest.mark.parametrize(("segments", "length"), [(1, 1), (1, 33), (3, 48), (5, 7)])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40])
def test_they_are_those_of_numpy(outputs, segments, length, count):
    jump = length + 5
    fields, packed, weights, biases = layer(segments, length, jump, outputs)
    source = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    places = np.random.default_rng(2).integers(0, 3000 - segments * jump, count)
    rows = [np.concatenate([source[at + s * jump :][:length] for s in range(segments)]) for at in places]
    expected = np.array(rows, np.float32).reshape(count, segments * length) @ weights + biases
    np.testing.assert_allclose(apply(fields, packed, source, places, False), expected, rtol=1e-4, atol=1e-4)
    curved = expected * 0.5 * (1.0 + np.vectorize(math.erf, otypes=[float])(expected / 2**0.5))
    np.testing.assert_allclose(apply(fields, packed, source, places, True), curved, rtol=1e-4, atol=1e-4)


def test_a_row_is_the_same_to_the_bit_among_any_others():
    fields, packed, *_ = layer(3, 48, 60, 48)
    source = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    places = np.random.default_rng(2).integers(0, 2800, 37)
    together = apply(fields, packed, source, places, True)
    for place, row in zip(places, together, strict=True):
        assert (apply(fields, packed, source, np.array([place]), True)[0] == row).all()


def test_nan_stays_nan_of_either_sign():
    fields, packed, *_ = layer(1, 2, 0, 16)
    for value in (np.nan, -np.nan, np.inf - np.inf):
        assert np.isnan(apply(fields, packed, np.array([1.0, value], np.float32), np.array([0]), True)).all()
