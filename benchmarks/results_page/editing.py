"""What a dream makes by itself, what edits make of it, how large frames come out; and what the paper's choices give."""

from __future__ import annotations

from typing import Any

from nova_gym.benchmarks.ablations.tables import columns_and_rows
from nova_gym.benchmarks.codebook import CODE_COLUMNS, code_cells
from nova_gym.benchmarks.disentanglement import RETARGETINGS
from nova_gym.benchmarks.generation import COMPARED as FRAMES
from nova_gym.benchmarks.results_page.reading import Results, Target, goals, row
from nova_gym.benchmarks.super_resolution import COMPARED, DETAIL, KINDS, SIZE_COLUMNS, WEIGHTS, rows_of_sizes
from nova_gym.benchmarks.tables import interval, number, table

#: The factor whose lead has a target.
_TARGETED = 8
_SCENES = {"official": "official layouts", "held out": "layouts that no recording holds"}
_GOALS = {"official": "goal where the environment puts it", "random": "goal anywhere"}
#: The two learned dreams of an ablation whose lead has a target, and by how much the first should lead.
_LEAD, _LEADS = "INR state − vector latent", Target(3, unit="dB")
#: Codes shown of the codebook.
_CODES = 5


def section(results: Results) -> list[str]:
    """Blocks of Markdown."""
    return [
        "## Generate and edit",
        *_codebook(results),
        *_retargeting(results),
        *_super_resolution(results),
        *_generation(results),
        "## Ablations",
        *_ablations(results),
    ]


def _codebook(results: Results) -> list[str]:
    codes, actions = (results.at("codebook", f"exact frames, {by}") for by in ("codes", "latent actions"))
    last, meaning = list(codes)[-1], results.at("codebook", "meaning")
    sure = sum(entry["share that does"] == 1.0 for entry in meaning)
    rows = [
        row(f"exact frames after {last} steps on codes alone ({codes[last]['n']} walks)", Target(0.9), codes[last]),
        row("the same on the latent actions themselves", None, actions[last]),
        (
            "codes that occur, of all",
            "–",
            f"{results.at('codebook', 'codes used')} of {results.at('codebook', 'codes')}",
        ),
        ("of these, codes that always lead to one pose, whatever the layout", "–", f"{sure} of {len(meaning)}"),
    ]
    return [
        "### Learned actions",
        'Discrete actions that the dream has learned by itself (`action="codebook"`). Random walks on layouts that no '
        "recording holds are repeated by the code nearest to each step's latent action.",
        results.source("codebook"),
        goals(rows),
        "The codes that occur most often; the file lists them all:",
        table(CODE_COLUMNS, [code_cells(entry) for entry in meaning[:_CODES]]),
    ]


def _retargeting(results: Results) -> list[str]:
    name = "disentanglement"
    goal = "pose reached within 2 steps, layout unchanged"
    rows = []
    for starts, words in _GOALS.items():
        for way in RETARGETINGS:
            parts = results.at(name, starts, way)
            target = None if way == RETARGETINGS[-1] else Target(0.95)
            rows.append(row(f"{way}, {words} ({parts['all'][goal]['n']} pairs)", target, parts["all"][goal]))
    layouts = " and ".join(f"{results.at(name, starts, 'layouts')} with the {_GOALS[starts]}" for starts in _GOALS)
    names = list(results.at(name, "random", RETARGETINGS[0], "all"))
    parts = results.at(name, "random", RETARGETINGS[0])
    return [
        "### Retargeting",
        "Two real clips, one moved as the other moves (motion retargeting), or put on the other's layout (content "
        f"retargeting). Measured is whether a pair ends as it should: {goal}. The clips are on layouts that no "
        f"recording holds, {layouts}. *{RETARGETINGS[-1]}* is the first clip left as it is, for comparison.",
        results.source(name),
        goals(rows),
        f"{RETARGETINGS[0].capitalize()} in full, {_GOALS['random']}:",
        table(("", *parts), [(figure, *(interval(part[figure]) for part in parts.values())) for figure in names]),
    ]


def _super_resolution(results: Results) -> list[str]:
    name, target = "super-resolution", Target(3, unit="dB")
    rows = []
    for way, words in ((WEIGHTS, "zero-shot"), (DETAIL, "after `nova-gym sharpen`")):
        for kind, scenes in _SCENES.items():
            for factor in reversed(COMPARED):
                part = results.at(name, kind, f"×{factor}")
                lead, best = part["lead over the best filter"][way]["psnr"], part["best filter"]
                what = f"×{factor}, {words}, above the best filter ({best}), {scenes}"
                rows.append(row(what, target if factor == _TARGETED else None, lead, ".2f", "dB"))
    full = [block for kind in KINDS for block in _scores(results.at(name, kind), _SCENES[kind])]
    return [
        "### Super-resolution",
        "A frame of the dream's own size is encoded, drawn larger, and compared with the same scene as MiniGrid draws "
        "it at that size. *Weights* know frames of the dream's own size alone, as in the paper (zero-shot): then the "
        "dream is behind the best filter in PSNR, for a grid line of MiniGrid is a quarter of a pixel wide there, and "
        "no frame says where in the pixel it lies. *Weights for detail* learned from larger frames of other layouts "
        "(`nova-gym sharpen`), and draw the dream's large frames by default.",
        results.source(name),
        goals(rows),
        f"Features that the Nyquist mask switches off: {results.at(name, 'features the Nyquist mask switches off')}. "
        f"LPIPS: {results.at(name, 'LPIPS')}.",
        *full,
        "All sizes, one frame:",
        table(SIZE_COLUMNS, rows_of_sizes(results.at(name, "all sizes"))),
    ]


def _scores(kind: dict[str, Any], scenes: str) -> list[str]:
    """All ways to draw larger frames of one kind of scenes, at all factors."""
    parts = {factor: kind[f"×{factor}"] for factor in COMPARED}
    ways = {way: scores for way, scores in parts[COMPARED[0]].items() if isinstance(scores, dict) and "psnr" in scores}
    measures = {"psnr": ("PSNR, dB", ".2f"), "ssim": ("SSIM", ".3f"), "lpips": ("LPIPS", ".4f")}
    present = [measure for measure in measures if any(measure in scores for scores in ways.values())]
    columns = [f"{measures[m][0]}, ×{factor}" for m in present for factor in COMPARED]
    rows = [
        (way, *(interval(part[way].get(m), measures[m][1]) for m in present for part in parts.values())) for way in ways
    ]
    return [f"{kind['scenes']} scenes on {scenes}:", table(("drawn by", *columns), rows)]


def _generation(results: Results) -> list[str]:
    name, long = "generation", results.at("generation", "long run")
    distance, divergence = long["median Wasserstein-1"], long["median Jensen–Shannon"]
    rows = [
        row(f"Wasserstein-1 distance, median, {long['steps']:,} steps", Target(high=0.02), distance, ".4f"),
        row("Jensen–Shannon distance, median, the same steps", Target(high=0.1), divergence),
        row("its square, the divergence", None, divergence**2),
    ]
    for beside in ("true frames encoded and drawn", "true frames ±2 grey levels"):
        for measure, form in (("Wasserstein-1", ".4f"), ("Jensen–Shannon", ".3f")):
            rows.append(row(f"{measure} of {beside}", None, long[f"median {measure}, {beside}"], form))
    ways = [
        (way, interval(values["psnr"], ".2f", "dB"), interval(values["ssim"]))
        for way, values in results.at(name, FRAMES).items()
    ]
    frames = [
        (way, *(number(value, ".1f") for value in values["psnr by frame"]))
        for way, values in results.at(name, FRAMES).items()
    ]
    first = int(FRAMES.split()[1])
    return [
        "### Moving digits",
        f"{results.at(name, 'clips')} clips of digits that no training clip shows. The control model is given ten "
        "frames and goes on by itself.",
        results.source(name),
        goals(rows),
        "Both distances compare histograms of pixels. They hardly see that digits blur and lose their identity within "
        "ten frames; what they see is every grey level of a digit's edge. So true frames that are off by two grey "
        "levels stand beside the dream.",
        f"{FRAMES.capitalize()}:",
        table(("by", "PSNR", "SSIM"), ways),
        "PSNR by frame, dB:",
        table(("by", *range(first, first + len(frames[0]) - 1)), frames),
    ]


def _ablations(results: Results) -> list[str]:
    minutes, data = results.at("ablations", "minutes of a side"), results.at("ablations", "data")
    digits = results.at("ablations", "inr", "figures", "moving digits")
    lead = digits[_LEAD]["10 frames from 10 by control: PSNR"]
    blocks = [
        "What each choice of the paper is worth, with equal data and time for both sides: "
        f"{minutes:g} minutes a side, seed {results.at('ablations', 'seed')}. So short a training, and one seed, say "
        "what comes first, not what is reached in the end.",
        f"Data: {data['training']}; tests on {data['test']}; {data['retargeting']}.",
        results.source("ablations"),
        goals([row("10 frames after 10, PSNR: coordinate network − vector latent", _LEADS, lead, ".2f", "dB")]),
    ]
    for part, title in (
        ("inr", "A coordinate network's weights as state, against a vector with a transposed-CNN decoder"),
        ("dynamics", "Additive dynamics, against joint ones"),
        ("editing", "Motion retargeting before and after distillation into the control model"),
    ):
        blocks.append(f"### {title}")
        for name, figures in results.at("ablations", part, "figures").items():
            blocks += [f"{name[0].upper()}{name[1:]}:", table(*columns_and_rows(figures))]
        if part == "inr":
            blocks += [
                "Parameters and steps of the optimiser in that time:",
                _sides(results.at("ablations", part, "sides")),
            ]
    return blocks


def _sides(sides: dict[str, Any]) -> str:
    first = next(iter(sides.values()))
    rows = [(name, *(f"{side['parameters'][name]:,}" for side in sides.values())) for name in first["parameters"]]
    rows += [
        (f"steps of {stage}", *(f"{side['stages'][stage]['steps']:,}" for side in sides.values()))
        for stage in first["stages"]
    ]
    return table(("", *sides), rows)
