"""GELU as a short polynomial, for the renderers that evaluate it dozens of times a pixel.

GELU(x) = max(x, 0) - h(|x|) with h(a) = a Φ(-a), a bump that is 0.17 at its highest and gone by 4.5: a polynomial of a,
held at its last value from `CLAMP` on, is exact to 2e-5 for every x, however large. With 2e-4 (degree 7) frames of 512²
were up to 1.8 grey levels off: a trained network makes 40 times as much of what its activations are off.

Numba keeps compiled code for as long as its own file stays as it is: who changes this one, or `nova_gym.fused_tile`,
touches `fused.py`, `fused_points.py` and `fused_step.py` too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Polynomial, chebyshev


def bump(degree: int, clamp: float) -> tuple[float, ...]:
    """h from 0 to `clamp`, in falling powers of a - clamp / 2 (powers of a itself would lose digits)."""

    def exact(u: np.ndarray) -> np.ndarray:
        return np.array([0.5 * x * math.erfc(x / math.sqrt(2.0)) for x in u + clamp / 2])

    fitted = chebyshev.Chebyshev.interpolate(exact, degree, domain=[-clamp / 2, clamp / 2])
    return tuple(fitted.convert(kind=Polynomial).coef[::-1].tolist())


#: Where h counts as gone. With 10 degrees, 4.4 gives the least error of the values from 3.8 to 5.1 in steps of 0.1.
CLAMP = 4.4
COEFFICIENTS = bump(10, CLAMP)
