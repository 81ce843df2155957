"""A dream as ONNX: graphs for starts, encoding, steps and drawing, which run without Python or PyTorch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nova_gym.dream import Dream
from nova_gym.errors import BadInputError, needs_package
from nova_gym.export.drawing import Draw
from nova_gym.files import make_folder, write_atomically
from nova_gym.model.world_model import WorldModel
from nova_gym.stepping import advance
from nova_gym.version import __version__

if TYPE_CHECKING:
    from torch.export import Dim

#: The key of the JSON in a graph's metadata: the dream's config and card, and this package's version.
KEY = "nova_gym"
#: Cells of the inputs that graphs are traced with, and the least that a traced axis may have. Fewer are not special:
#: chance takes turns among 3 × 3 cells, and a graph makes all of these turns in smaller fields too, some for no cell.
_ROWS, _COLS, _LEAST = 4, 5, 3


class Start(nn.Module):
    """Numbers of starts → states that episodes begin from."""

    def __init__(self, starts: Tensor) -> None:
        super().__init__()
        self.register_buffer("starts", starts)

    def forward(self, index: Tensor) -> Tensor:
        """(B,) int64 → (B, K + M, rows, cols)."""
        return self.starts[index]


class Encode(nn.Module):
    """Frames → states whose past is not known."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] → (B, K + M, rows, cols)."""
        return self.model.begin(self.model.encode(frames))


class Step(nn.Module):
    """A step, by the environment's own actions or, where the dream knows none, by latent actions.

    What is left to chance is decided by numbers that are inputs, so the graph itself is not random.
    """

    def __init__(self, dream: Dream) -> None:
        super().__init__()
        self.dream, self.model = dream, dream.world_model

    def forward(
        self,
        state: Tensor,
        action: Tensor,
        steps: Tensor,
        chance: Tensor | None = None,
        outcome_chance: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Steps.

        Args:
            state: (B, K + M, rows, cols) float32.
            action: (B,) int64, or (B, N) float32 for continuous actions; (B, U, rows, cols) for a dream without any.
            steps: (B,) int64, steps since the episode began, without this one.
            chance: (B, rows, cols) float32 in [0, 1), which draws what happens; for dreams with chance.
            outcome_chance: (B, 2) float32 in [0, 1), which draws reward and ending; for dreams where those are random.

        Returns:
            (B, K + M, rows, cols) next state; (B,) float32 reward; (B,) bool terminated; (B,) bool truncated.
        """
        model, card, latent_action, known = self.model, self.dream.card, action, None
        if model.has_actions:
            latent_action, known = model.translate(state, action, model.draw_outcomes(state, action, chance)), action
        rewarded = outcome_chance[:, 0] if card.random_rewards else None
        ended = outcome_chance[:, 1] if card.random_endings else None
        result = advance(self.dream, state, latent_action, known, steps, card.horizon, rewarded, ended)
        return result.state, result.reward, result.terminated, result.truncated


class Graph(NamedTuple):
    """What is exported as one file.

    Attributes:
        module: that is traced.
        inputs: for each input an example, and the names of its open sizes by their place.
        outputs: names of the outputs.
    """

    module: nn.Module
    inputs: dict[str, tuple[Tensor, dict[int, Dim]]]
    outputs: list[str]


def export_onnx(
    dream: Dream,
    folder: str | Path,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda part, done, total: None,
) -> list[Path]:
    """Writes a dream as ONNX graphs, for any number of dreams and any number of cells.

    `start.onnx` gives the states that episodes begin from, `encode.onnx` those of frames. `step.onnx` is a whole step
    of the simulator, rewards and endings included. `render.onnx` draws at any size in pixels, and `render-detail.onnx`
    with the dream's second renderer, if it has one. The metadata of each hold the dream's config and card as JSON,
    under `nova_gym`. `left_out` names what is not exported.

    Args:
        dream: to export.
        folder: to write to; it is made if need be.
        overwrite: whether to replace files of these names.
        progress: called as (part, done, total).

    Returns:
        The files written.

    Raises:
        BadInputError: onnx or onnxscript is not installed, a file exists, or the folder cannot be written to.
    """
    for name in ("onnx", "onnxscript"):
        needs_package(name, "ONNX graphs", "onnx")
    dream = dream.to("cpu")
    graphs = {Path(folder) / f"{name}.onnx": graph for name, graph in _graphs(dream).items()}
    if not overwrite and (there := [str(path) for path in graphs if path.exists()]):
        raise BadInputError(f"{', '.join(there)} exists; --overwrite replaces it")
    make_folder(folder)
    header = {"version": __version__, "config": dream.world_model.config.to_dict(), "card": asdict(dream.card)}
    for done, (path, graph) in enumerate(graphs.items()):
        progress("ONNX", done, len(graphs))
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                graph.module.eval(),
                tuple(example for example, _ in graph.inputs.values()),
                dynamic_shapes=tuple(sizes for _, sizes in graph.inputs.values()),
                input_names=list(graph.inputs),
                output_names=graph.outputs,
                verbose=False,
            )
        _check_open(path.stem, graph, program)
        program.model.metadata_props[KEY] = json.dumps(header)
        with write_atomically(path) as temporary:
            program.save(temporary, external_data=False)
    progress("ONNX", len(graphs), len(graphs))
    return list(graphs)


def left_out(dream: Dream) -> list[str]:
    """What a dream has and its ONNX graphs lack, in words."""
    model = dream.world_model
    parts = {"doubt": model.has_doubt, "the codebook": model.has_codebook, "the control model": model.has_control}
    return [name for name, there in parts.items() if there]


def _check_open(name: str, graph: Graph, program: torch.onnx.ONNXProgram) -> None:
    """Checks that sizes which are to be open are: where the exporter fails with them, it fixes them without a word."""
    for made, (_, sizes) in zip(program.model.graph.inputs, graph.inputs.values(), strict=True):
        fixed = [place for place in sizes if isinstance(made.shape[place], int)]
        if fixed:
            raise RuntimeError(
                f"the exporter has fixed the sizes {fixed} of {made.name} in {name}: a fault of nova-gym"
            )


def _graphs(dream: Dream) -> dict[str, Graph]:
    """The graphs of a dream, by name."""
    from torch.export import Dim

    model, config = dream.world_model, dream.world_model.config
    batch, rows, cols = Dim("batch"), Dim("rows", min=_LEAST), Dim("cols", min=_LEAST)
    size, field, picture = (_ROWS, _COLS), {2: rows, 3: cols}, {2: config.cell[0] * rows, 3: config.cell[1] * cols}
    if not model.places:  # one network for the whole frame: its field is one cell
        size, field, picture = (1, 1), {}, {}
    state = torch.zeros(2, config.rank + config.memory, *size), {0: batch, **field}
    pixels = [cells * side for cells, side in zip(size, config.cell, strict=True)]
    frames = torch.zeros(2, config.inr.channels, *pixels), {0: batch, **picture}
    graphs = {"encode": Graph(Encode(model), {"frames": frames}, ["state"])}
    if dream.starts:
        index = torch.zeros(2, dtype=torch.int64), {0: batch}
        graphs["start"] = Graph(Start(dream.starts[dream.default_starts]), {"index": index}, ["state"])
    inputs = {"state": state, "action": _action(model, size, batch, field)}
    inputs["steps"] = torch.zeros(2, dtype=torch.int64), {0: batch}
    if model.has_chance:
        inputs["chance"] = torch.zeros(2, *size), {0: batch, **{place - 1: cells for place, cells in field.items()}}
    if dream.card.random_rewards or dream.card.random_endings:
        inputs["outcome_chance"] = torch.zeros(2, 2), {0: batch}
    graphs["step"] = Graph(Step(dream), inputs, ["next_state", "reward", "terminated", "truncated"])
    for name, there in (("render", True), ("render-detail", model.has_detail)):
        if there:
            sides = {side: (torch.tensor(64), {}) for side in ("height", "width")}
            graphs[name] = Graph(Draw(model, name != "render"), {"state": state, **sides}, ["frames"])
    return graphs


def _action(
    model: WorldModel, size: tuple[int, int], batch: Dim, field: dict[int, Dim]
) -> tuple[Tensor, dict[int, Dim]]:
    """An example of an action, and its open sizes."""
    if not model.has_actions:
        return torch.zeros(2, model.config.latent_action, *size), {0: batch, **field}
    if model.has_discrete_actions:
        return torch.zeros(2, dtype=torch.int64), {0: batch}
    return torch.zeros(2, model.config.actions), {0: batch}


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says of its own parts, such as a library that it could use."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
