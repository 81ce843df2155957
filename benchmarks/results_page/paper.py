"""The paper's table: NOVA beside other world models, on the paper's kinds of data."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.baselines import NOVAField
from nova_gym.benchmarks.paper.enlarging import FACTOR, FILTERS
from nova_gym.benchmarks.paper.measuring import ALIEN, FOLLOWED, JS, LPIPS, NOT_FOUND, PSNR, SSIM, VELOCITY, W1
from nova_gym.benchmarks.paper.runner import ENLARGED, STILL
from nova_gym.benchmarks.results_page.reading import Results, Target, measured
from nova_gym.benchmarks.tables import interval, number, table

HEADING = "## Beside other world models"
_NAME = "paper"
_RATIO = Target(high=2.0)
#: What the paper (arXiv 2605.06298) states of the same kind; its data, sizes and training are its own.
_STATED = (
    "The paper states for its own models, of about 40 million parameters, a median Wasserstein-1 distance at T = 1000 "
    "of 0.12 for NOVA and 0.011 for LAPO."
)
#: The tables of one figure: title, figure, format.
_TABLES = (
    ("PSNR in dB of 10 frames after 10, an equal one counted as rounded to bytes; higher is better", PSNR, ".2f"),
    ("SSIM of the same frames", SSIM, ".3f"),
    ("LPIPS of the same frames; lower is better", LPIPS, ".3f"),
    (
        "PSNR in dB of the same frames, by latent actions inferred from the true ones. These models see the future, "
        "through their latent actions alone; the others have none",
        FOLLOWED,
        ".2f",
    ),
    (
        "PSNR in dB of the frame after an alien one, against that one: the last frame of the context is another clip's",
        ALIEN,
        ".2f",
    ),
    ("Wasserstein-1 distance between pixel values at T = {steps}; lower is better", W1, ".4f"),
    ("Jensen–Shannon distance between pixel values at T = {steps}", JS, ".3f"),
)


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    report = {key: results.at(_NAME, key) for key in ("columns", "intervals", "minutes of training", "seeds")}
    columns, steps = report["columns"], results.at(_NAME, "steps of the long run")
    seeds = len(report["seeds"])
    blocks = [
        HEADING,
        f"Each model trains for {report['minutes of training']:g} minutes on the same clips, with {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'}: a standard world model (a vector a frame, a decoder, recurrence), LAPO "
        "(latent actions between pixels), WARP (a linear recurrence of weights), NOVA with one network for the frame, "
        "as in the paper, and with a field. They are small, made for this table by what their papers say, and no "
        "copies of their authors' code. Each is given 10 frames of clips that training did not see, and goes on by "
        "itself. "
        f"Intervals are {report['intervals']}.",
        results.source(_NAME),
        "\n".join(
            f"- {name}: {column['data']}. {column['clips']} clips. {column['note']}."
            for name, column in columns.items()
        ),
        *_verdicts(columns),
    ]
    for title, figure, form in _TABLES:
        if any(figure in row["figures"] for column in columns.values() for row in column["rows"].values()):
            blocks += [f"### {title.format(steps=f'{steps:,}')}", _one_figure(columns, figure, form)]
        elif figure == LPIPS:
            blocks.append(f"LPIPS is not measured: {results.at(_NAME, 'why no LPIPS')}.")
        if figure == W1:
            blocks.append(_STATED)
    return [
        *blocks,
        *_velocities(columns),
        *_enlarged(results),
        "### What each takes",
        _cost(columns),
        *_pictures(results),
    ]


def _models(columns: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for column in columns.values() for name in column["rows"]))


def _one_figure(columns: dict[str, Any], figure: str, form: str) -> str:
    rows = [
        (name, *(interval(c["rows"].get(name, {}).get("figures", {}).get(figure), form) for c in columns.values()))
        for name in _models(columns)
    ]
    still = [column[STILL].get(figure) for column in columns.values()]
    if any(still):
        rows.append((STILL, *(interval(estimate, form) for estimate in still)))
    return table(("", *columns), rows)


def _verdicts(columns: dict[str, Any]) -> list[str]:
    """For each column, whether NOVA's field is ahead of the best other model by PSNR, and of standing still."""
    lines = []
    for name, column in columns.items():
        found = {model: row["figures"][PSNR] for model, row in column["rows"].items()}
        own, still = found.pop(NOVAField.name, None), column[STILL][PSNR]
        if own is None or not found:
            continue
        best = max(found, key=lambda model: found[model]["value"])
        lead = own["value"] - found[best]["value"]
        apart = own["low"] > found[best]["high"]
        other = f"{best} ({interval(found[best], '.2f', 'dB')})"
        beaten = still["value"] - own["value"]
        besides = f" Standing still ({interval(still, '.2f', 'dB')}) is {number(abs(beaten), '.2f')} dB "
        besides += "better." if beaten > 0 else "worse."
        if lead > 0 and apart:
            lines.append(f"- {name}: NOVA's field is ahead of {other} by {number(lead, '.2f')} dB.{besides}")
        elif lead > 0:
            verdict = f"ahead of {other} by {number(lead, '.2f')} dB, but intervals overlap."
            lines.append(f"- {name}: **missed:** {verdict}{besides}")
        else:
            lines.append(f"- {name}: **missed:** {other} wins by {number(-lead, '.2f')} dB.{besides}")
    if not lines:
        return []
    return [
        "The target is that NOVA's field is ahead of the best other model by PSNR, intervals apart. Standing "
        "still, which is no model, is said beside it:",
        "\n".join(lines),
    ]


def _velocities(columns: dict[str, Any]) -> list[str]:
    kept = {name: column for name, column in columns.items() if VELOCITY in column[STILL]}
    if not kept:
        return []
    rows = []
    for model in (*_models(kept), STILL):
        figures = [c[STILL] if model == STILL else c["rows"].get(model, {}).get("figures", {}) for c in kept.values()]
        values = [each[VELOCITY]["value"] for each in figures if VELOCITY in each]
        ratio = (
            measured(values[1] / values[0], ".2f", target=None if model == STILL else _RATIO)
            if len(values) == 2
            else "–"
        )
        cells = [interval(each.get(key), ".2f") for each in figures for key in (VELOCITY, NOT_FOUND)]
        rows.append((model, *cells, ratio))
    headings = [f"{name}: {words}" for name in kept for words in ("error", "balls not found")]
    return [
        "### Velocities of balls",
        "Balls are tracked by their colours. Errors are in units of the scene a second; balls roll at 1 to 4 in range. "
        "A ball that is not found counts as one that stands still. The ratio of the errors out of range and in range "
        f"should be {_RATIO}.",
        table(("", *headings, "out ÷ in"), rows),
    ]


def _enlarged(results: Results) -> list[str]:
    figures = results.at(_NAME, ENLARGED)
    if not figures:
        return []
    best = max((name for name in figures if name not in FILTERS), key=lambda name: figures[name]["value"])
    lead = figures[best]["value"] - figures[FILTERS[0]]["value"]
    return [
        f"### Fields at {FACTOR} times their size",
        f"Fields of the weather's held-out time are coarsened {FACTOR} times by means, encoded, and drawn at their own "
        "size again, by models that saw coarse fields alone. PSNR in dB. The best of NOVA should be ahead of the "
        f"{FILTERS[0]} filter: {measured(lead, '+.2f', 'dB', Target(0.0))}.",
        table(("by", "PSNR"), [(name, interval(figure, ".2f")) for name, figure in figures.items()]),
    ]


def _cost(columns: dict[str, Any]) -> str:
    rows = []
    for name, column in columns.items():
        for model, row in column["rows"].items():
            times = row["milliseconds"]
            large = number(times["8×"], ".1f") + ("" if row["draws any size"] else " (bilinear)")
            cells = (f"{row['parameters']:,}", number(row["minutes"], ".1f"), number(times["1×"], ".1f"), large)
            rows.append((name, model, *cells))
    return table(("data", "model", "parameters", "minutes", "ms a step and its frame", "the same at 8 ×"), rows)


def _pictures(results: Results) -> list[str]:
    names = results.at(_NAME, "pictures")
    if not names:
        return []
    return [
        "### Edits and layers",
        "Two clips that training did not see. From step 9 on the first clip's content takes over the motion of the "
        "second, or the first clip is moved as the second is, at once or over four steps. The layers are of the "
        "second: the base weights alone, A(z) and B(u). Last, it goes on by itself after 10 frames.",
        *(f"{name}:\n\n![Edits and layers of {name}](paper/{name}.png)" for name in names),
    ]
