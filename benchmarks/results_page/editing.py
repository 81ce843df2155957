"""What a dream makes by itself, what edits make of it, how large frames come out; and what the paper's choices give."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.ablations.tables import columns_and_rows
from nova_gym.benchmarks.codebook import CODE_COLUMNS, code_cells
from nova_gym.benchmarks.disentanglement import RETARGETINGS, WITHIN
from nova_gym.benchmarks.generation import COMPARED as FRAMES
from nova_gym.benchmarks.generation import DRAWN, OFF
from nova_gym.benchmarks.results_page.reading import Results, Target, goals, row, where_measured
from nova_gym.benchmarks.super_resolution import COMPARED, DETAIL, SIZE_COLUMNS, WEIGHTS, rows_of_sizes
from nova_gym.benchmarks.tables import interval, number, table

_GOALS = {"official": "goal where the environment puts it", "random": "goal anywhere"}
#: The figure of retargeting that has a target, and its target; the target of rollouts on codes.
_REACHED = f"pose reached within {WITHIN} steps, layout unchanged"
_RETARGETED = _CODED = Target(0.99)
#: What the field should lead by in an ablation, and over what.
_LEAD, _LEADS = "field − vector latent", Target(2, unit="dB")
#: Digits that the classifier should still name rightly, by steps.
_NAMED = {"20": Target(0.9), "100": Target(0.6)}
#: The way of `generation` that encodes and draws the true frames.
_DRAWN = "encoder, frame by frame"
#: Codes shown of the codebook.
_CODES = 8


HEADING = "## Generate and edit"


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    return [
        HEADING,
        *where_measured(_codebook, results),
        *where_measured(_retargeting, results),
        *where_measured(_super_resolution, results),
        *where_measured(_generation, results),
        "## Ablations",
        *where_measured(_ablations, results),
    ]


def _codebook(results: Results) -> list[str]:
    levels, rows = results.at("codebook", "levels"), []
    for level, report in levels.items():
        codes, actions = (report[f"exact frames, {by}"] for by in ("codes", "latent actions"))
        last = list(codes)[-1]
        words = f"{level}, exact frames after {last} steps on codes alone ({report['walks']} walks)"
        rows += [row(words, _CODED, codes[last]), row("the same on the latent actions themselves", None, actions[last])]
    level, report = next(iter(levels.items()))
    meaning = report["meaning"]
    sure = sum(entry["share that does"] == 1.0 for entry in meaning)
    return [
        "### Learned actions",
        'Discrete actions that the dream has learned by itself (`action="codebook"`), one a cell. Random walks on '
        "layouts that the recording does not hold are repeated by the code nearest to each cell's latent action.",
        results.source("codebook"),
        goals(rows),
        f"In {level} {report['codes used']} of {report['codes']} codes occur. {sure} of the {len(meaning)} by which "
        "something moves are always followed by the same, as seen from their cell. Those that occur most often; the "
        "file lists them all:",
        table(CODE_COLUMNS, [code_cells(entry) for entry in meaning[:_CODES]]),
    ]


def _retargeting(results: Results) -> list[str]:
    name = "disentanglement"
    levels, rows = results.at(name, "levels"), []
    for level, report in levels.items():
        for starts, words in _GOALS.items():
            for way in RETARGETINGS:
                figure = report[starts][way]["all"][_REACHED]
                target = None if way == RETARGETINGS[-1] else _RETARGETED
                layouts = report[starts]["layouts"]
                rows.append(row(f"{level}, {way}, {words} ({figure['n']} pairs, {layouts} layouts)", target, figure))
    level, report = next(iter(levels.items()))
    parts = report["random"][RETARGETINGS[0]]
    full = [(figure, *(interval(part[figure]) for part in parts.values())) for figure in parts["all"]]
    return [
        "### Retargeting",
        "Two real clips, one moved as the other moves (motion retargeting), or put on the other's layout (content "
        f"retargeting). Measured is whether a pair ends as it should: {_REACHED}. The clips are on layouts that the "
        f"recording does not hold. *{RETARGETINGS[-1]}* is the first clip left as it is, for comparison.",
        results.source(name),
        goals(rows),
        f"{RETARGETINGS[0].capitalize()} in full, {level}, {_GOALS['random']}:",
        table(("", *parts), full),
    ]


def _super_resolution(results: Results) -> list[str]:
    name, levels = "super-resolution", results.at("super-resolution", "levels")
    rows = []
    for way, words in ((WEIGHTS, "zero-shot"), (DETAIL, "after `nova-gym sharpen`")):
        for level, report in levels.items():
            for factor in reversed(COMPARED):
                part = report[f"×{factor}"]
                if way in part["lead over the best filter"]:
                    lead, best = part["lead over the best filter"][way]["psnr"], part["best filter"]
                    what = f"×{factor}, {words}, above the best filter ({best}), {level}"
                    rows.append(row(what, None, lead, ".2f", "dB"))
    full = [block for level, report in levels.items() for block in _scores(report, level)]
    level, report = next(iter(levels.items()))
    return [
        "### Super-resolution",
        "A frame of the dream's own size is encoded, drawn larger, and compared with the same scene as MiniGrid draws "
        "it at that size. *Weights* know frames of the dream's own size alone, as in the paper (zero-shot): a grid "
        "line of MiniGrid is a quarter of a pixel wide there, and no frame says where in the pixel it lies. *Weights "
        "for detail*, where the dream has them, learned from cells that were drawn larger (`nova-gym sharpen`), and "
        "draw the dream's large frames by default.",
        results.source(name),
        goals(rows),
        f"Features that the Nyquist mask switches off: {results.at(name, 'features the Nyquist mask switches off')}. "
        f"LPIPS: {results.at(name, 'LPIPS')}.",
        *full,
        f"All sizes, one frame of {level}:",
        table(SIZE_COLUMNS, rows_of_sizes(report["all sizes"])),
    ]


def _scores(report: dict[str, Any], level: str) -> list[str]:
    """All ways to draw larger frames of a level, at all factors."""
    parts = {factor: report[f"×{factor}"] for factor in COMPARED}
    ways = {way: scores for way, scores in parts[COMPARED[0]].items() if isinstance(scores, dict) and "psnr" in scores}
    measures = {"psnr": ("PSNR, dB", ".2f"), "ssim": ("SSIM", ".3f"), "lpips": ("LPIPS", ".4f")}
    present = [measure for measure in measures if any(measure in scores for scores in ways.values())]
    columns = [f"{measures[m][0]}, ×{factor}" for m in present for factor in COMPARED]
    rows = [
        (way, *(interval(part[way].get(m), measures[m][1]) for m in present for part in parts.values())) for way in ways
    ]
    return [f"{report['scenes']} scenes of {level}:", table(("drawn by", *columns), rows)]


def _generation(results: Results) -> list[str]:
    name, long = "generation", results.at("generation", "long run")
    ways = results.at(name, FRAMES)
    ahead, named = ways["control model"], results.at(name, "digits named rightly")
    distance, divergence = long["median Wasserstein-1"], long["median Jensen–Shannon"]
    rows = [
        row(f"{FRAMES}, PSNR", Target(20, unit="dB"), ahead["psnr"], ".2f", "dB"),
        row(f"{FRAMES}, SSIM", Target(0.9), ahead["ssim"]),
        row("single frames, encoded and drawn, PSNR", Target(33, unit="dB"), ways[_DRAWN]["psnr"], ".2f", "dB"),
        row(f"Wasserstein-1 distance, median, {long['steps']:,} steps", Target(high=0.01), distance, ".4f"),
        row("Jensen–Shannon distance, median, the same steps", Target(high=0.1), divergence),
    ]
    for beside in (DRAWN, f"true frames ±{OFF} grey levels"):
        for measure, form in (("Wasserstein-1", ".4f"), ("Jensen–Shannon", ".3f")):
            rows.append(row(f"{measure} of {beside}", None, long[f"median {measure}, {beside}"], form))
    for step, figures in named.items():
        for way, figure in figures.items():
            target = _NAMED.get(step) if way == "control model" else None
            rows.append(row(f"digits named rightly from step {step} on, {way}", target, figure))
    frames = [(way, *(number(value, ".1f") for value in values["psnr by frame"])) for way, values in ways.items()]
    first = int(FRAMES.split()[1])
    return [
        "### Moving digits",
        f"{results.at(name, 'clips')} clips of digits that no training clip shows. The control model is given ten "
        "frames and goes on by itself. A classifier that knows the digits of training clips names the dreamt ones, "
        "wherever two can be told apart.",
        results.source(name),
        goals(rows),
        "Both distances compare histograms of pixels. They hardly see which digit it is; what they see is every grey "
        "level of a digit's edge. So true frames that are off by two grey levels stand beside the dream.",
        f"{FRAMES.capitalize()}:",
        table(
            ("by", "PSNR", "SSIM"),
            [(way, interval(v["psnr"], ".2f", "dB"), interval(v["ssim"])) for way, v in ways.items()],
        ),
        "PSNR by frame, dB:",
        table(("by", *range(first, first + len(frames[0]) - 1)), frames),
    ]


def _ablations(results: Results) -> list[str]:
    minutes, data = results.at("ablations", "minutes of a side"), results.at("ablations", "data")
    digits = results.at("ablations", "state", "figures", "moving digits")
    lead = digits[_LEAD]["10 frames from 10 by control: PSNR"]
    blocks = [
        f"What each choice is worth, with equal data and time for all sides: {minutes:g} minutes a side, seed "
        f"{results.at('ablations', 'seed')}. So short a training, and one seed, say what comes first, not what is "
        "reached in the end.",
        f"Data: {data['training']}; tests on {data['test']}; {data['retargeting']}; MiniGrid: {data['MiniGrid']}.",
        results.source("ablations"),
        goals([row("10 frames after 10, PSNR: field − vector latent", _LEADS, lead, ".2f", "dB")]),
    ]
    for part, title in (
        ("state", "A field of networks, one network for the whole frame, a vector with a transposed-CNN decoder"),
        ("dynamics", "Additive dynamics, against joint ones"),
        ("editing", "Motion retargeting before and after distillation into the control model"),
    ):
        blocks.append(f"### {title}")
        for name, figures in results.at("ablations", part, "figures").items():
            blocks += [f"{name[0].upper()}{name[1:]}:", table(*columns_and_rows(figures))]
        if part == "state":
            for name, sides in results.at("ablations", part, "sides").items():
                blocks += [f"Parameters, and steps of the optimiser in that time, {name}:", _sides(sides)]
    return blocks


def _sides(sides: dict[str, Any]) -> str:
    first = next(iter(sides.values()))
    rows = [(name, *(f"{side['parameters'][name]:,}" for side in sides.values())) for name in first["parameters"]]
    rows += [
        (f"steps of {stage}", *(f"{side['stages'][stage]['steps']:,}" for side in sides.values()))
        for stage in first["stages"]
    ]
    return table(("", *sides), rows)
