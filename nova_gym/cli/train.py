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
from nova_gym.terminal import COUNT, LARGEST, NUMBER, DeviceOption, SeedOption, console, one_line_errors, progress_bars

if TYPE_CHECKING:
    from nova_gym.data import Clips
    from nova_gym.dream import Dream
    from nova_gym.training import Preset

MemoryOption = Annotated[
    int | None,
    typer.Option(help="Numbers of memory in a cell, 0 for none. Default: what the recording asks for.", **NUMBER),
]
OutcomesOption = Annotated[
    int | None,
    typer.Option(help="Outcomes of chance in a cell, 0 for none. Default: what the recording asks for.", **NUMBER),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="File to write the dream to, *.safetensors.")]


@one_line_errors
def train(
    source: Annotated[
        str,
        typer.Argument(
            help="Minari id of a recording; a file or a folder of files, all videos, or fields, or PhyWorld; `digits`; "
            "or `phyworld`."
        ),
    ],
    output: OutputOption,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Size of model and training: tiny (seconds, for tests), cpu (a field of cells, minutes), single (one "
            "network a frame, minutes), digits (grey 64×64, longer) or paper (one network a frame, for one GPU). "
            "Default: what suits the recording; with --stage, that of the dream."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="How long training takes. Default: the preset's numbers of steps.")
    ] = None,
    memory: MemoryOption = None,
    outcomes: OutcomesOption = None,
    no_actions: Annotated[bool, typer.Option("--no-actions", help="Ignore a recording's actions and rewards.")] = False,
    size: Annotated[
        int | None, typer.Option(help="Width in pixels to scale videos to; default their own.", min=8, max=LARGEST)
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Train only this part of --dream: codebook, control or doubt.")
    ] = None,
    dream: Annotated[
        str | None,
        typer.Option(help="Name, file or hf://user/name of the dream that --stage starts from; it is not changed."),
    ] = None,
    reality: Annotated[
        str | None,
        typer.Option(
            help="Real environment that the dream is of by default: starts, horizon, evaluation. It must be drawn as "
            "the recording's own is. Default: that one."
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="Mixed precision: no (float32) or bf16.")] = "no",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint beside the output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output or checkpoint.")] = False,
    log_dir: Annotated[
        Path | None, typer.Option(help="TensorBoard folder; default runs/NAME, after the output.")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    r"""Train a dream from a recording or from video.

    SOURCE is a dataset that `nova-gym record` made, or video (MP4, GIF, NPZ …).
    `digits` stands for generated clips of digits that bounce in a square, and
    `phyworld` for generated scenes of balls that roll, collide and fall
    (arXiv 2411.02385; pip install 'nova-gym\[physics]').

    Fields such as temperatures are read from NetCDF (.nc) or Zarr (.zarr), as in
    WeatherBench: a variable over time, latitude and longitude, PATH#NAME where
    there are several (pip install 'nova-gym\[fields]'). They are averaged over
    32×64 values; their dream is grey and of real numbers, and its card says what
    0 and 1 mean.

    The public files of PhyWorld (.hdf5) hold an MP4 video a clip below
    `video_streams`. They are scaled to 128×128.

    What suits a recording is measured on it: a field of cells or one network for
    the whole frame, whether a step depends on what frames before it showed
    (memory), and whether it depends on chance. The lines that it prints say so.
    On MiniGrid training takes some minutes. A dream of video has no
    environment actions: step it by latent actions, by the codes of its codebook,
    or let its control model go on by itself.

    The rules that a dream learns are the same everywhere, so it may dream other
    environments than the recorded one, of any size (`reality=` in Python).
    --reality chooses one that it is of by default, and puts starts of it into the
    dream.

    Writes one file, OUTPUT, and curves for `tensorboard --logdir runs`. Ctrl-C
    leaves a checkpoint beside the output (.ckpt). The same command with --resume
    continues from it and gives the same dream as an uninterrupted run.

    Examples:

    nova-gym train minigrid/crossing-v0 -o mine.safetensors

    nova-gym train minigrid/layouts-v0 -o mine.safetensors --reality MiniGrid-SimpleCrossingS9N1-v0

    nova-gym train videos/ -o film.safetensors --size 64

    nova-gym train era5/#t2m -o weather.safetensors

    nova-gym train collision_30K.hdf5 -o balls.safetensors

    nova-gym train minigrid/expert-v0 --stage control --dream mine.safetensors -o new.safetensors

    nova-gym train minigrid/layouts-v0 --stage doubt --dream old.safetensors -o new.safetensors
    """
    from nova_gym.data import load_clips
    from nova_gym.dream import STARTS, Dream
    from nova_gym.envs import dream_at
    from nova_gym.envs.reality.unseen import what_is_unseen
    from nova_gym.training import PARTS, Run, suiting_preset, train_part
    from nova_gym.training import train as train_dream
    from nova_gym.training.presets import preset_of

    if stage is not None and stage not in PARTS:
        raise BadInputError(f"stage {stage!r} cannot be trained by itself; {', '.join(PARTS)} can")
    if (stage is None) != (dream is None):
        raise BadInputError("--stage and --dream go together: give the stage to train and the dream to start from")
    loaded = Dream.load(dream) if dream is not None else None
    if loaded is not None and (memory, outcomes, minutes) != (None, None, None):
        raise BadInputError("--memory, --outcomes and --minutes are of a whole dream: leave them out with --stage")
    chosen = _named(preset) if preset is not None else None  # an unknown one is refused before anything is read
    check_output(output, overwrite)
    checkpoint = _checkpoint(output, resume, overwrite)
    began = time.monotonic()
    with progress_bars() as bars:
        clips = load_clips(source, lambda done, total: bars("reading", done, total), not no_actions, size)
        if reality is not None:
            _check_reality(reality, clips, loaded)
        if loaded is not None:
            chosen = chosen or preset_of(loaded, stage)
        else:
            suits = suiting_preset(clips, preset, memory, outcomes)
            chosen = suits.preset
            for line in suits.lines:
                console.print(line, highlight=False, soft_wrap=True)
        chosen = replace(chosen, training=replace(chosen.training, seed=seed))
        run = Run(checkpoint, log_dir or Path("runs") / output.stem, device, precision, resume, bars, minutes)
        with _says_how_to_go_on(checkpoint):
            if loaded is None:
                made = train_dream(clips, source, chosen, run)
            else:
                made = train_part(loaded, stage, clips, source, chosen, run)
        if reality is not None:
            made = dream_at(made, reality, STARTS, seed, lambda done, total: bars("starts", done, total))
    made.save(output)
    if reality is not None and (unseen := what_is_unseen(made)):
        console.print(unseen)
    checkpoint.unlink(missing_ok=True)
    hint = f" How true is it? nova-gym eval {output}" if made.card.env_id else ""
    console.print(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB, {(time.monotonic() - began) / 60:.1f} minutes.{hint}"
    )


def _named(name: str) -> Preset:
    """The preset of this name."""
    from nova_gym.training.presets import preset

    return preset(name)


def _check_reality(reality: str, clips: Clips, dream: Dream | None) -> None:
    """Checks that the dream to come can be of another reality than the recording's, before it is trained for long.

    Raises:
        BadInputError: it cannot.
    """
    from nova_gym.envs import RealitySpec, similar_spec
    from nova_gym.envs.reality.counterpart import reality_of

    recorded = clips.metadata.get("reality")
    if dream is None and not (recorded and clips.labelled):
        raise BadInputError("--reality needs a recording of a real environment, with actions")
    spec = reality_of(dream).spec if dream is not None else RealitySpec(**recorded)
    similar_spec(replace(spec, frame_size=tuple(spec.frame_size)), reality)


def check_output(output: Path, overwrite: bool) -> None:
    """Checks the name of a dream's new file.

    Raises:
        BadInputError: it is no dream's, or exists.
    """
    if output.suffix != ".safetensors":
        raise BadInputError(f"a dream's file ends in .safetensors, unlike {output}")
    if output.exists() and not overwrite:
        raise BadInputError(f"{output} exists; --overwrite replaces it")


def _checkpoint(output: Path, resume: bool, overwrite: bool) -> Path:
    """The checkpoint's path, beside the output.

    Raises:
        BadInputError: there is no checkpoint to resume, or one would be overwritten.
    """
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
            print(f"stopped; {checkpoint} holds what was trained; continue with the same command and --resume")
        raise


@one_line_errors
def tune(
    dream: Annotated[
        str,
        typer.Argument(help="Shipped dream (minigrid), path of a dream file, or hf://user/name; it is not changed."),
    ],
    dataset: Annotated[str, typer.Argument(help="Minari id of a recording of the same environment.")],
    output: OutputOption,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.", **COUNT)] = 3000,
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Train a dream further on its own rollouts, so that it drifts less.

    It needs a recording with actions, of the environment that the dream is of.
    Encoder and renderer stay, so agents that were trained in the dream's latents
    stay valid. The default takes some minutes. Writes one file, OUTPUT.

    Example:

    nova-gym tune mine.safetensors minigrid/layouts-v0 -o tuned.safetensors
    """
    from nova_gym.data import load_clips
    from nova_gym.dream import Dream
    from nova_gym.training import Run, check_recording, fine_tune, teach_doubt
    from nova_gym.training.doubt import to_learn_from
    from nova_gym.training.representation import encode_all

    loaded = Dream.load(dream)
    check_output(output, overwrite)
    with progress_bars() as bars:
        clips = load_clips(dataset, lambda done, total: bars("reading", done, total))
        check_recording(clips, loaded, dataset, labels=True)
        states = encode_all(loaded.world_model, clips, lambda done, total: bars("encoding", min(done, total), total))
        run = Run(output.with_suffix(".ckpt"), device=device, progress=bars)
        tuned = fine_tune(loaded, to_learn_from(loaded, clips), states, steps, seed, run)
        tuned = teach_doubt(tuned, [clips], seed)
    tuned.save(output)
    if tuned.world_model.has_codebook or tuned.world_model.has_control:
        console.print(
            "codebook and control model are unchanged: `nova-gym train --stage …` fits them to the tuned dynamics"
        )
    wrong = tuned.card.training["tuned"][-1]["wrong before"]
    console.print(f"{wrong} of {len(clips.source)} recorded transitions were wrong before")
    console.print(f"{output}. How true is it? nova-gym eval {output}")


@one_line_errors
def sharpen(
    dream: Annotated[
        str,
        typer.Argument(help="Shipped dream (minigrid), path of a dream file, or hf://user/name; it is not changed."),
    ],
    output: OutputOption,
    factor: Annotated[int, typer.Option(help="Largest frames, as a multiple of the dream's.", min=2, max=LARGEST)] = 8,
    scenes: Annotated[int, typer.Option(help="Real scenes to learn from, of all sizes together.", **COUNT)] = 1024,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.", **COUNT)] = 2_000,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint beside the output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output or checkpoint.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Teach a dream to draw sharp frames that are larger than its own.

    It learns from real scenes that the environment draws at larger sizes, cell by cell.
    MiniGrid can draw itself at any size; other environments must render larger
    than the dream's frames. The result is a second renderer, called detail, for
    large frames alone. Frames of the dream's own size, dynamics and latents stay
    as they are, so agents stay valid.

    The default takes about a minute. Writes one file, OUTPUT. Ctrl-C leaves a
    checkpoint beside it (.ckpt), from which --resume continues.

    Example:

    nova-gym sharpen mine.safetensors -o sharp.safetensors
    """
    import torch

    from nova_gym.dream import Dream
    from nova_gym.envs.reality.scenes import scenes as draw_scenes
    from nova_gym.training import Run
    from nova_gym.training import sharpen as sharpen_dream

    loaded = Dream.load(dream)
    check_output(output, overwrite)
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
