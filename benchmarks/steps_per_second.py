"""Steps per second of a dream against reality, in one run: `python benchmarks/steps_per_second.py [--json FILE]`.

Every contestant has its turn in each round, and a figure is the median over rounds of the ratio to reality stepped in
one process with its own (for MiniGrid symbolic) observations, so that a busy machine slows both sides.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nova_gym import Dream
from nova_gym.envs.speed import measure_speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dream", default="minigrid", help="name or path of a dream (default: minigrid)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256, 1024], help="dreams stepped together")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant (default: 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    speeds = measure_speed(Dream.load(arguments.dream), tuple(arguments.batches), arguments.rounds, arguments.seconds)
    print(f"{'':46}{'steps/s':>10}{'÷ reality':>11}   spread")
    for speed in speeds:
        low, high = speed.ratios.min(), speed.ratios.max()
        print(f"{speed.name:46}{speed.median:10,.0f}{speed.ratio:11.2f}   {low:.2f}–{high:.2f}")
    if arguments.json:
        figures = {s.name: {"steps_per_second": s.median, "ratios": s.ratios.tolist()} for s in speeds}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
