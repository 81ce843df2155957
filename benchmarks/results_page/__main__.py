"""Writes the pages of results, `docs/results.md` and `docs/reliability.md`, from the files in `benchmarks/results`.

python -m nova_gym.benchmarks.results_page [--output FILE] [--results FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nova_gym.benchmarks.results_page.page import results_page
from nova_gym.benchmarks.results_page.reliability import reliability_page
from nova_gym.benchmarks.sources import RELIABILITY, RESULTS
from nova_gym.errors import BadInputError
from nova_gym.files import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/results.md"), help="page (default: docs/results.md)")
    parser.add_argument("--results", type=Path, default=Path(RESULTS), help=f"JSON files (default: {RESULTS})")
    arguments = parser.parse_args()
    try:
        write_text(arguments.output, results_page(arguments.results))
        faults = arguments.output.with_name("reliability.md")
        write_text(faults, reliability_page(arguments.results / Path(RELIABILITY).name))
    except BadInputError as error:
        parser.error(str(error))
    print(arguments.output, faults)


if __name__ == "__main__":
    main()
