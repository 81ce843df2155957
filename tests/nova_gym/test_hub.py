"""Dreams on the Hugging Face hub, against a hub on this machine."""

import sys

import gymnasium as gym
import pytest
import torch
from typer.testing import CliRunner

from nova_gym import Dream
from nova_gym.cli import app
from nova_gym.errors import BadInputError, DreamFileError

from .hub_server import Hub

pytest.importorskip("huggingface_hub", reason="needs the extra [hub]")
from huggingface_hub import constants

NAME = "me/my-dream"


@pytest.fixture
def hub(tmp_path, monkeypatch, tiny):
    """A hub with a dream, and an empty cache."""
    server = Hub()
    tiny.save(tmp_path / "dream.safetensors")
    server.repositories[NAME] = {"main": {"dream.safetensors": (tmp_path / "dream.safetensors").read_bytes()}}
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "".join(template[1:]))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.stop()


def same(one, other):
    theirs = other.world_model.state_dict()
    return one.card == other.card and all(
        torch.equal(tensor, theirs[name]) for name, tensor in one.world_model.state_dict().items()
    )


def test_a_dream_is_fetched_once_says_so_and_is_then_there_without_network(hub, tmp_path, capsys, monkeypatch):
    first = Dream.from_pretrained(NAME)
    assert same(first, Dream.load(tmp_path / "dream.safetensors"))
    assert capsys.readouterr().err == f"nova-gym: fetching hf://{NAME} from {hub.endpoint}\n"
    assert same(Dream.load(f"hf://{NAME}"), first)
    assert len(hub.downloads()) == 1
    hub.broken = True  # a hub in trouble
    assert same(Dream.load(f"hf://{NAME}"), first)
    hub.stop()  # no network
    assert same(Dream.load(f"hf://{NAME}"), first)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert same(Dream.load(f"hf://{NAME}"), first)
    assert len(hub.asked) == asked
    assert "fetching" not in capsys.readouterr().err


def test_a_newer_dream_is_fetched_and_a_revision_stays_what_it_is(hub, tiny, filmed, tmp_path):
    hub.repositories[NAME]["v1"] = hub.repositories[NAME]["main"]
    first = Dream.load(f"hf://{NAME}")
    filmed.save(tmp_path / "new.safetensors")
    hub.repositories[NAME]["main"] = {"dream.safetensors": (tmp_path / "new.safetensors").read_bytes()}
    assert same(Dream.load(f"hf://{NAME}"), Dream.load(tmp_path / "new.safetensors"))
    assert same(Dream.load(f"hf://{NAME}@v1"), first)
    assert same(Dream.from_pretrained(NAME, revision="v1"), first)


def test_a_dream_on_the_hub_is_named_as_any_other(hub):
    env = gym.make("nova_gym:NovaDream-v0", dream=f"hf://{NAME}")
    env.reset(seed=0)
    env.step(0)
    told = CliRunner().invoke(app, ["info", f"hf://{NAME}"])
    assert told.exit_code == 0, told.output
    refused = CliRunner().invoke(app, ["eval", f"hf://{NAME}", "--write-card"])
    assert refused.exit_code == 2
    assert "--write-card needs a file" in refused.output


def test_what_is_pushed_comes_back_with_card_and_film(hub, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    figure = {"value": 0.75, "low": 0.7, "high": 0.8, "n": 9}
    tiny.card.scores = {"levels": {"Level-v0": {"open_loop": {"10": {"exact": figure}}}}}
    tiny.save(tmp_path / "mine.safetensors")
    tiny.card.scores = {}
    pushed = CliRunner().invoke(app, ["push", str(tmp_path / "mine.safetensors"), "you/new", "--licence", "cc-by-4.0"])
    assert pushed.exit_code == 0, pushed.output
    assert f"{hub.endpoint}/you/new/commit/" in pushed.output
    files = hub.repositories["you/new"]["main"]
    assert same(Dream.from_pretrained("you/new"), Dream.load(tmp_path / "mine.safetensors"))
    card = files["README.md"].decode()
    assert "license: cc-by-4.0" in card
    assert "| levels, Level-v0, open_loop, 10, exact | 0.75 [0.7, 0.8] |" in card
    assert 'dream="hf://you/new"' in card
    assert "![What is dreamt](dream.gif)" in card
    assert files["dream.gif"].startswith(b"GIF89a")


def test_films_of_video_are_drawn_too(filmed):
    from nova_gym.publishing import film_of

    frames = film_of(filmed)
    assert len(frames) > 10
    assert frames[0].dtype == "uint8"
    assert frames[0].std() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://me", "user/name"),
        ("hf://me/a b", "user/name"),
        ("hf://me/../x", "user/name"),
        ("hf://", "user/name"),
        ("hf://me/nothing", "has no repository me/nothing that you may read"),
        ("hf://me/closed", "has no repository me/closed that you may read"),
        (f"hf://{NAME}@v9", "has no revision 'v9'"),
        ("hf://me/empty", "it has no file dream.safetensors"),
    ],
)
def test_what_cannot_be_fetched_is_one_clear_line(hub, name, message):
    hub.repositories |= {"me/empty": {"main": {"x": b""}}, "me/closed": hub.repositories[NAME]}
    hub.closed.add("me/closed")
    with pytest.raises(BadInputError, match=message) as error:
        Dream.load(name)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_dream_is_refused_by_the_same_reader(hub):
    hub.repositories["me/text"] = {"main": {"dream.safetensors": b"not a dream"}}
    with pytest.raises(DreamFileError, match="is not a dream"):
        Dream.load("hf://me/text")


def test_without_network_what_is_not_in_the_cache_is_one_clear_line(hub, monkeypatch):
    hub.broken = True
    with pytest.raises(BadInputError, match=r"not in the cache .* answers 503"):
        Dream.load(f"hf://{NAME}")
    hub.stop()
    with pytest.raises(BadInputError, match=r"not in the cache .* cannot be reached"):
        Dream.load(f"hf://{NAME}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadInputError, match=r"not in the cache .*HF_HUB_OFFLINE forbids"):
        Dream.load(f"hf://{NAME}")


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        (None, "you/new", "gives no right to write you/new"),
        ("hf_reader", "you/new", "gives no right to write you/new"),
        ("hf_writer", "new", "user/name"),
    ],
)
def test_what_cannot_be_pushed_is_one_clear_line(hub, tiny, token, repository, message):
    with pytest.raises(BadInputError, match=message) as error:
        tiny.push_to_hub(repository, token=token)
    assert "\n" not in str(error.value)
    assert "you/new" not in hub.repositories


def test_a_branch_that_is_not_there_is_one_clear_line(hub, tiny):
    with pytest.raises(BadInputError, match="me/my-dream has no revision 'v9'"):
        tiny.push_to_hub(NAME, revision="v9", token="hf_writer")


def test_without_the_library_it_says_what_to_install(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BadInputError, match=r"pip install 'nova-gym\[hub\]'"):
        Dream.load(f"hf://{NAME}")
