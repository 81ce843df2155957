"""GELU as a short polynomial, for compiled code that evaluates it dozens of times a pixel.

GELU(x) = max(x, 0) - a Φ(-a) with a = |x|, and the eighth root of Φ(-a) is so smooth that a polynomial of degree 5 is
enough: with three squarings it is exact to 2e-6 for every x, a being held at `CLAMP`. (A polynomial for a Φ(-a) itself
needs degree 13 for that, and a trained network makes 40 times as much of what its activations are off.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Polynomial

#: How often the polynomial is squared: Φ(-a) is its power of 2 to that.
SQUARINGS = 3
#: Where a is held: with degree 5 this gives the least error of the values from 3.4 to 6.4 in steps of 0.2.
CLAMP = 5.0
_DEGREE, _ROUNDS = 5, 40


def _root() -> tuple[float, ...]:
    """The polynomial of a, in falling powers.

    Least squares in what a Φ(-a) is off, with more weight in each round where it is off most, so that its largest error
    becomes small.
    """
    power = 2**SQUARINGS
    a = CLAMP * (1.0 - np.cos(np.linspace(0.0, np.pi, 400))) / 2.0
    exact = np.array([0.5 * math.erfc(x / math.sqrt(2.0)) for x in a]) ** (1.0 / power)
    weights = a * exact ** (power - 1) + 1e-3
    fitted = Polynomial.fit(a, exact, _DEGREE, w=weights)
    for _ in range(_ROUNDS):
        error = a * np.abs(fitted(a) ** power - exact**power)
        weights = weights * np.sqrt(error / error.max() + 0.2)
        weights = np.maximum(weights / weights.mean(), 1e-5)
        fitted = Polynomial.fit(a, exact, _DEGREE, w=weights)
    return tuple(fitted.convert().coef[::-1].tolist())


COEFFICIENTS = _root()
