"""ONNX graphs do what the simulator does, for any number of dreams and cells."""

import json

import numpy as np
import pytest
import torch

from nova_gym import Card, Dream, DreamSimulator, WorldModel, noise
from nova_gym.errors import BadInputError
from nova_gym.export import export_onnx, left_out, to_onnx
from nova_gym.model.config import INRConfig, ModelConfig

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
pytest.importorskip("onnxscript", reason="needs the extra [onnx]")

#: Dreams and cells (rows, cols).
SIZES = ((1, 9, 9), (5, 4, 13), (2, 1, 2))
#: The graphs that are looked at of each dream; the exporter takes seconds for each.
NAMES = {
    "minigrid": ("start", "encode", "step", "render"),
    "digits": ("step", "render"),
    "everything": ("encode", "step", "render-detail"),
}


#: The exporter takes a minute for all of them, of which half are for the last.
SOME = ("minigrid", *(pytest.param(name, marks=pytest.mark.slow) for name in ("digits", "everything")))


class Graphs:
    """Graphs of a dream, called by name with tensors."""

    def __init__(self, dream, folder, names):
        all_graphs, self.dream = to_onnx._graphs, dream
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(to_onnx, "_graphs", lambda dream: {name: all_graphs(dream)[name] for name in names})
            files = export_onnx(dream, folder)
        self.sessions = {file.stem: onnxruntime.InferenceSession(file) for file in files}

    def __call__(self, graph, **inputs):
        inputs = {name: np.asarray(value) for name, value in inputs.items()}
        return [torch.from_numpy(output) for output in self.sessions[graph].run(None, inputs)]


def everything():
    """A dream that has learned nothing, and has all that a dream can have."""
    config = ModelConfig(
        **{"frame_size": (32, 40), "actions": 3, "discrete": False, "reward_values": (-1.0, 0.0, 2.0)},
        **{"memory": 3, "outcomes": 4, "far": True, "everywhere": True, "detail": INRConfig(frequencies=4, width=16)},
        blend=True,
    )
    model, draws = WorldModel(config).eval().requires_grad_(False), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter += 0.05 * torch.randn(parameter.shape, generator=draws)
    starts = {"official": torch.randn(6, config.rank + config.memory, 4, 5, generator=draws)}
    chance = {"random_rewards": True, "random_endings": True}
    return Dream(model, starts, Card(horizon=4, reward_discount=0.9, dead_band=0.001, **chance))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            dream = everything() if name == "everything" else Dream.load(name)
            made[name] = Graphs(dream, tmp_path_factory.mktemp("onnx") / name, NAMES[name])
        return made[name]

    return of


def some_states(dream, batch, rows, cols):
    """States that the dream could be in, of any size: cells of its starts in any order."""
    cells = dream.starts[dream.default_starts].movedim(1, 3).flatten(0, 2)
    chosen = torch.randint(len(cells), (batch, rows, cols), generator=torch.Generator().manual_seed(rows))
    return cells[chosen].movedim(3, 1).contiguous()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SOME)
def test_the_same_actions_lead_to_the_same_states_rewards_and_endings(graphs, name, size):
    exported = graphs(name)
    dream, model, (batch, rows, cols) = exported.dream, exported.dream.world_model, size
    simulator = DreamSimulator(dream, batch, cells=(rows, cols), horizon=dream.card.horizon)
    draws = torch.Generator().manual_seed(1)
    state = simulator.reset(states=some_states(dream, *size))
    simulator.keys = torch.arange(batch) + 7
    for number in range(5):
        action = torch.randint(max(1, model.config.actions), (batch,), generator=draws)
        if model.has_actions and not model.has_discrete_actions:
            action = torch.randn(batch, model.config.actions, generator=draws)
        if not model.has_actions:
            action = 0.1 * torch.randn(batch, model.config.latent_action, rows, cols, generator=draws)
        given = {"state": state, "action": action, "steps": simulator.steps}
        if model.has_chance:
            given["chance"] = noise.uniform(simulator.keys, simulator.steps, rows * cols).view(size)
            given["outcome_chance"] = noise.uniform(~simulator.keys, simulator.steps, 2)
        state, reward, terminated, truncated = exported("step", **given)
        true = simulator.step(action) if model.has_actions else simulator.step_latent(action)
        torch.testing.assert_close(state, true.state, atol=1e-4, rtol=0, msg=lambda said, n=number: f"step {n}: {said}")
        torch.testing.assert_close(reward, true.reward, atol=1e-4, rtol=0)
        assert torch.equal(terminated, true.terminated)
        assert torch.equal(truncated, true.truncated)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SOME)
def test_frames_of_any_size_are_those_of_the_renderer(graphs, name, size):
    exported, model = graphs(name), graphs(name).dream.world_model
    states, graph = some_states(exported.dream, *size), NAMES[name][-1]
    for height, width in ((72, 72), (101, 64), (576, 300), (3, 1)):
        if model.has_detail:
            height, width = height + 8 * size[1], width + 8 * size[2]  # it draws large frames alone
        [frames] = exported(graph, state=states, height=height, width=width)
        true = model.render(model.seen(states), (height, width))
        torch.testing.assert_close(frames, true, atol=1e-3, rtol=0)


def test_starts_are_the_dreams(graphs):
    exported, index = graphs("minigrid"), torch.tensor([41, 0, 3])
    [start] = exported("start", index=index)
    assert torch.equal(start, exported.dream.starts["official"][index])


@pytest.mark.parametrize("name", ["minigrid", *SOME[2:]])
def test_frames_are_encoded_as_by_the_dream(graphs, name):
    exported, model = graphs(name), graphs(name).dream.world_model
    for height, width in ((1, 1), (2, 7)):
        size = height * model.config.cell[0], width * model.config.cell[1]
        frames = torch.rand(3, model.config.inr.channels, *size, generator=torch.Generator().manual_seed(0))
        [state] = exported("encode", frames=frames)
        torch.testing.assert_close(state, model.begin(model.encode(frames)), atol=1e-4, rtol=0)


def test_a_graph_says_what_dream_it_is_of(graphs):
    exported = graphs("minigrid")
    told = json.loads(exported.sessions["step"].get_modelmeta().custom_metadata_map["nova_gym"])
    assert told["card"]["env_id"] == exported.dream.card.env_id
    assert told["config"]["rank"] == exported.dream.world_model.config.rank
    assert left_out(exported.dream) == ["doubt", "the codebook", "the control model"]


def test_files_that_are_there_are_not_replaced_unasked(tiny, tmp_path):
    (tmp_path / "step.onnx").write_text("mine")
    with pytest.raises(BadInputError, match=r"step.onnx exists; --overwrite replaces"):
        export_onnx(tiny, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_without_the_libraries_it_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("nova_gym.errors.find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"the package onnx: pip install 'nova-gym\[onnx\]'"):
        export_onnx(tiny, tmp_path)
