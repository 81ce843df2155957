"""The command `nova-gym export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nova_gym.errors import BadInputError
from nova_gym.terminal import DreamArgument, console, one_line_errors, progress_bars


@one_line_errors
def export(
    dream: DreamArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the ONNX graphs to.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX graphs.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Export a dream, for where there is no PyTorch.

    --onnx writes a folder of graphs: start (states that episodes begin from),
    encode (frames to states), step (with rewards and endings) and render (frames
    of any size). They take any number of dreams, and fields of any size. It takes
    about a minute, and the extra: pip install 'nova-gym[onnx]'.

    Example:

    nova-gym export minigrid --onnx -o minigrid-onnx
    """
    from nova_gym.dream import Dream
    from nova_gym.export import export_onnx, left_out

    if not onnx:
        raise BadInputError("say what to export to: --onnx")
    loaded = Dream.load(dream)
    with progress_bars() as bars:
        files = export_onnx(loaded, output, overwrite, bars)
    for file in files:
        console.print(f"{file}: {file.stat().st_size / 1e6:.2f} MB", highlight=False, soft_wrap=True)
    if missing := left_out(loaded):
        console.print(f"not exported: {', '.join(missing)}", highlight=False, soft_wrap=True)
