"""How well probabilities agree with what happened."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

#: Bins of probability in which it is compared with how often the thing happened.
BINS = 15


def agreement(doubts: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """How well doubt agrees with what was wrong, of n steps.

    Args:
        doubts: (n,) floating point in [0, 1], the probability that a step is wrong.
        wrong: (n,) bool.

    Returns:
        `steps`, n; `wrong` and `doubt`, the means; `calibration error`, the expected one over `BINS` bins; `auroc`
        where there are both kinds of steps; `false alarms`, the share of right steps with a doubt above 1/2, where
        there are right steps. Empty for no steps.
    """
    if not len(wrong):
        return {}
    found = {"steps": len(wrong), "wrong": float(wrong.mean()), "doubt": float(doubts.mean())}
    bins = np.minimum((doubts * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, doubts - wrong, BINS)
    found["calibration error"] = float(np.abs(gaps).sum() / len(wrong))
    if wrong.any() and not wrong.all():
        found["auroc"] = float(roc_auc_score(wrong, doubts))
    if not wrong.all():
        found["false alarms"] = float((doubts[~wrong] > 0.5).mean())
    return found
