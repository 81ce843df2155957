"""Every key of the player does what it is for."""

import imageio.v3 as iio
import pygame
import pytest
import torch

from nova_gym.envs.play.keymap import ACTION_KEYS, COMMAND_KEYS, HELP, action_of
from nova_gym.envs.play.viewpoint import RESOLUTIONS


@pytest.mark.parametrize(("key", "action"), ACTION_KEYS.items(), ids=str)
def test_every_action_key_acts(player, key, action):
    """They are MiniGrid's own keys, and act by the name that the dream's card has for an action."""
    player.press(key)
    assert player.session.events[1:] == [["act", player.session.dream.card.action_names.index(action)]]
    assert player.session.now.step == 1


def test_actions_without_names_have_the_keys_from_4_to_9():
    digits = range(pygame.K_0, pygame.K_9 + 1)
    assert [action_of(key, [], 3) for key in digits] == [None, None, None, None, 0, 1, 2, None, None, None]
    assert not {key for key in digits if action_of(key, [], 99) is not None} & set(COMMAND_KEYS)


#: Command → what is true a key press after a step, an agent that was set driving and a pause, and was not before.
EFFECTS = {
    "reset": lambda player: player.session.events[-1] == ["reset"] and len(player.session.events) == 3,
    "rewind": lambda player: player.session.events[-1] == ["rewind"] and player.session.now.step == 0,
    "pause": lambda player: not player.paused,
    "step": lambda player: player.session.events[2:] == [["act", 1]],
    "finer": lambda player: player.viewpoint.resolution == RESOLUTIONS[RESOLUTIONS.index(288) + 1],
    "coarser": lambda player: player.viewpoint.resolution == RESOLUTIONS[RESOLUTIONS.index(288) - 1],
    "background": lambda player: not player.viewpoint.state.any(),
    "content": lambda player: torch.equal(player.viewpoint.state, parts(player)[0]),
    "motion": lambda player: torch.equal(player.viewpoint.state, parts(player)[1]),
    "reality": lambda player: player.viewpoint.real() is not None,
    "agent": lambda player: not player.driving,
    "control": lambda player: player.driving == "control",
    "record": lambda player: player.recording == [],
    "picture": lambda player: iio.imread(player.folder / "dream.png").shape == (288, 288, 3),
    "open": lambda player: player.typed == "",
    "help": lambda player: player.help,
    "quit": lambda player: not player.running,
}


def parts(player):
    """Content and motion that led to the present."""
    model, (before, now) = player.session.dream.world_model, player.session.history
    return model.content(before.state), model.motion(now.latent_action)


@pytest.mark.parametrize(("key", "name"), COMMAND_KEYS.items(), ids=str)
def test_every_command_key_does_what_it_is_for(player, key, name):
    player.policy = lambda latent: 1
    player.press(pygame.K_UP, pygame.K_a, pygame.K_PERIOD)
    assert name == "picture" or not EFFECTS[name](player)
    player.press(key)
    assert EFFECTS[name](player)


def test_content_and_motion_add_up_to_what_is_shown(player, monkeypatch):
    """But for cells that hardly change, which stay as they are, and the nearest of few looks for the others."""
    model, before = player.session.dream.world_model, player.session.now.state
    step = model.step(before, model.translate(before, torch.tensor([0])))
    band = float((step - before).square().mean(1).median())  # so that about half of the cells stay
    monkeypatch.setattr(player.session.dream.card, "dead_band", band)
    player.press(pygame.K_LEFT)
    total, shown = sum(parts(player)), player.session.now.state
    near = ((total - before).square().mean(1) - band).abs() < 1e-3 * band  # where rounding may decide
    settled = model.settle(before, total, band)
    assert torch.isclose(settled, shown, atol=1e-4).all(1)[~near].all()
    moved = (shown != before).any(1)
    assert moved.any()
    assert not moved.all()


def test_help_covers_the_window_and_names_every_key(player):
    before = player.look()
    player.press(pygame.K_h)
    assert (player.look() != before).any(2).mean() > 0.3
    text = " ".join(keys for keys, _ in HELP)
    other = {"return": "enter", "escape": "esc", "=": "+", "[+]": "+", "[-]": "-"}
    other |= {"left": "arrows", "right": "arrows", "up": "arrows"}
    for key in map(pygame.key.name, (*COMMAND_KEYS, *ACTION_KEYS)):
        assert other.get(key, key) in text.lower()
