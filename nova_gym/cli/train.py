"""`nova-gym train`, `tune` and `sharpen`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nova_gym.errors import BadInputError
from nova_gym.terminal import DeviceOption, SeedOption, console, one_line_errors, progress_bars

if TYPE_CHECKING:
    from nova_gym.dream import Dream
    from nova_gym.training import Preset

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="File of the dream, *.safetensors.")]


@one_line_errors
def train(
    source: Annotated[
        str, typer.Argument(help="Minari id of a recording, a folder of videos or one file, or `digits`.")
    ],
    output: OutputOption,
    preset: Annotated[
        str | None,
        typer.Option(
            help="tiny (seconds, for tests), cpu (ships), digits (grey 64×64) or paper (one GPU); default cpu, for a "
            "stage that of the dream."
        ),
    ] = None,
    no_actions: Annotated[bool, typer.Option("--no-actions", help="Ignore a recording's actions and rewards.")] = False,
    size: Annotated[int | None, typer.Option(help="Width in pixels that videos are scaled to.", min=8)] = None,
    stage: Annotated[str | None, typer.Option(help="Train only rendering, codebook or control, of --dream.")] = None,
    dream: Annotated[str | None, typer.Option(help="Name or file of the dream for --stage; stays as it is.")] = None,
    control: Annotated[str | None, typer.Option(help="Kind of control model: lstm, gru or transformer.")] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="Mixed precision: no or bf16.")] = "no",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint beside the output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output or a checkpoint.")] = False,
    log_dir: Annotated[Path | None, typer.Option(help="TensorBoard folder; default runs/<name>.")] = None,
    seed: SeedOption = 0,
) -> None:
    """Train a dream from a recording or from video: representation, dynamics, roll-outs, codebook, control.

    Video (MP4, GIF, NPZ …) has no actions: its dream is stepped by latent actions, those of its codebook, or by its
    control model, which goes on by itself. `digits` stands for digits that bounce in a square.

    Ctrl-C leaves a checkpoint beside the output; the same command with --resume continues it, step for step as if
    nothing had happened. Watch with `tensorboard --logdir runs`.
    """
    from nova_gym.data import load_clips
    from nova_gym.dream import Dream
    from nova_gym.training import PARTS, Run, train_part
    from nova_gym.training import train as train_dream

    if stage is not None and stage not in PARTS:
        raise BadInputError(f"stage {stage!r} cannot be trained by itself; {', '.join(PARTS)} can")
    if (stage is None) != (dream is None):
        raise BadInputError("--stage and --dream go together: a stage of which dream, or which stage of a dream?")
    if control is not None and stage not in (None, "control"):
        raise BadInputError(f"--control says which control model to train: --stage {stage} trains none")
    loaded = Dream.load(dream) if dream is not None else None
    chosen = _preset(preset, loaded, stage, control, seed)
    _check_output(output, overwrite)
    checkpoint = _checkpoint(output, resume, overwrite)
    began = time.monotonic()
    with progress_bars() as bars:
        clips = load_clips(source, lambda done, total: bars("reading", done, total), not no_actions, size)
        run = Run(checkpoint, log_dir or Path("runs") / output.stem, device, precision, resume, bars)
        with _says_how_to_go_on(checkpoint):
            if loaded is None:
                made = train_dream(clips, source, chosen, run)
            else:
                made = train_part(loaded, stage, clips, source, chosen, run)
    made.save(output)
    checkpoint.unlink(missing_ok=True)
    hint = f" How true is it? nova-gym eval {output}" if made.card.env_id else ""
    console.print(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB, {(time.monotonic() - began) / 60:.1f} minutes.{hint}"
    )


def _preset(name: str | None, dream: Dream | None, stage: str | None, control: str | None, seed: int) -> Preset:
    """The preset asked for, or the dream's, with this seed and kind of control model."""
    from nova_gym.model.config import CONTROLS, ControlConfig
    from nova_gym.training.presets import preset, preset_of

    chosen = preset_of(dream, stage) if name is None and dream is not None else preset(name or "cpu")
    if control is not None:
        if control not in CONTROLS:
            raise BadInputError(f"unknown kind of control model {control!r}; there are {', '.join(CONTROLS)}")
        sizes = replace(chosen.model.control or ControlConfig(), kind=control)
        chosen = replace(chosen, model=replace(chosen.model, control=sizes))
    return replace(chosen, training=replace(chosen.training, seed=seed))


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix != ".safetensors":
        raise BadInputError(f"a dream's file ends in .safetensors, unlike {output}")
    if output.exists() and not overwrite:
        raise BadInputError(f"{output} exists; --overwrite replaces it")


def _checkpoint(output: Path, resume: bool, overwrite: bool) -> Path:
    """Beside the output."""
    checkpoint = output.with_suffix(".ckpt")
    if resume and not checkpoint.exists():
        raise BadInputError(f"nothing to resume: {checkpoint} does not exist")
    if checkpoint.exists() and not (overwrite or resume):
        raise BadInputError(f"{checkpoint} exists; --overwrite replaces it, --resume continues")
    return checkpoint


@contextmanager
def _says_how_to_go_on(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            print(f"stopped; {checkpoint} holds what was trained, the same command with --resume goes on")
        raise


@one_line_errors
def tune(
    dream: Annotated[str, typer.Argument(help="Name of a shipped dream or path of a file; it is left as it is.")],
    dataset: Annotated[str, typer.Argument(help="Minari id of a recording of the same environment.")],
    output: OutputOption,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.", min=1)] = 3000,
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Train a dream further on its own roll-outs, which lessens its drift; encoder and renderer stay.

    Agents trained in the dream's latents stay valid.
    """
    from nova_gym.data import load_clips
    from nova_gym.dream import Dream
    from nova_gym.training import Run, check_recording, fine_tune
    from nova_gym.training.representation import encode_all

    loaded = Dream.load(dream)
    _check_output(output, overwrite)
    with progress_bars() as bars:
        clips = load_clips(dataset, lambda done, total: bars("reading", done, total))
        check_recording(clips, loaded, dataset, labels=True)
        states = encode_all(loaded.world_model, clips, lambda done, total: bars("encoding", min(done, total), total))
        run = Run(output.with_suffix(".ckpt"), device=device, progress=bars)
        tuned = fine_tune(loaded, clips, states, steps, seed, run)
    tuned.save(output)
    if tuned.world_model.has_codebook or tuned.world_model.has_control:
        console.print("codebook and control model are as before: `nova-gym train --stage …` fits them to what changed")
    wrong = tuned.card.training["tuned"][-1]["wrong before"]
    console.print(f"{wrong} of {len(clips.source)} recorded transitions were wrong before")
    console.print(f"{output}. How true is it? nova-gym eval {output}")


@one_line_errors
def sharpen(
    dream: Annotated[str, typer.Argument(help="Name of a shipped dream or path of a file; it is left as it is.")],
    output: OutputOption,
    factor: Annotated[int, typer.Option(help="How many times larger than the dream's frames, at most.", min=2)] = 8,
    scenes: Annotated[
        int, typer.Option(help="Real scenes to learn from; the default, at ×8, takes some 2.5 GB.", min=1)
    ] = 4096,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.", min=1)] = 18_000,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint beside the output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output or a checkpoint.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Give a dream detail: it learns what reality looks like drawn larger, so that its large frames are sharp.

    Detail is a second renderer, for these. Its own frames, dynamics and latents stay as they are, and agents that
    were trained in it stay valid. It learns from real scenes, each drawn at one of the sizes: MiniGrid draws itself at
    any, other environments only as large as they do anyway.
    """
    import torch

    from nova_gym.dream import Dream
    from nova_gym.envs.reality.scenes import scenes as draw_scenes
    from nova_gym.training import Run
    from nova_gym.training import sharpen as sharpen_dream

    loaded = Dream.load(dream)
    _check_output(output, overwrite)
    checkpoint = _checkpoint(output, resume, overwrite)
    began = time.monotonic()
    with progress_bars() as bars:
        drawn = draw_scenes(loaded, scenes, factor, seed, lambda done, total: bars("drawing", done, total))
        pictures = {
            size: tuple(torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous() for frames in drawn.pop(size))
            for size in list(drawn)
        }
        run = Run(checkpoint, device=device, resume=resume, progress=bars)
        with _says_how_to_go_on(checkpoint):
            made = sharpen_dream(loaded, pictures, run, steps, seed)
    made.save(output)
    checkpoint.unlink(missing_ok=True)
    height, width = (factor * side for side in made.world_model.config.frame_size)
    console.print(f"{output}: sharp up to {height}×{width}, {(time.monotonic() - began) / 60:.1f} minutes")
