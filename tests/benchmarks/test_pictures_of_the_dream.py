"""Editing and super-resolution measured on real MiniGrid; numbers of the dream that ships are asked for loosely."""

import argparse

import numpy as np
import pytest

from nova_gym import BadInputError, Dream
from nova_gym.benchmarks import disentanglement, gallery, gallery_generation, levels, super_resolution
from nova_gym.dream import Card
from nova_gym.envs import dream_at
from nova_gym.envs.reality.scenes import scenes_of_a_kind

THREE_WALLS = "MiniGrid-SimpleCrossingS9N3-v0"


def test_retargeting_brings_the_agent_there_and_leaves_the_layout(shipped):
    pairs = disentanglement.find_pairs(dream_at(shipped, THREE_WALLS), 16, "random", seed=0)
    assert (pairs.truth[pairs.same] == pairs.motion[pairs.same]).all()
    assert not (pairs.truth[~pairs.same] == pairs.motion[~pairs.same]).all((2, 3, 4)).any()
    figures = disentanglement.measure(shipped, pairs)
    goal = "pose reached within 2 steps, layout unchanged"
    for name in ("motion retargeting", "content retargeting"):
        assert figures[name]["all"][goal]["value"] >= 0.9
        assert figures[name]["same layout"][goal]["n"] == figures[name]["other layout"][goal]["n"] == 8
    assert figures["control: no edit"]["all"][goal]["value"] <= 0.3
    assert figures["control: no edit"]["all"]["content: other tiles right, from step 2"]["value"] > 0.97


def test_figures_are_of_the_levels_that_were_asked_for(tiny, monkeypatch):
    monkeypatch.setattr("sys.argv", ["disentanglement", "--reality", THREE_WALLS, "--reality", "MiniGrid-FourRooms-v0"])
    parser = argparse.ArgumentParser()
    levels.add_reality_option(parser)
    asked = parser.parse_args().reality
    figures = levels.by_level(tiny, asked, lambda dream: {"size": dream.frame_size})
    assert figures == {THREE_WALLS: {"size": (72, 72)}, "MiniGrid-FourRooms-v0": {"size": (152, 152)}}
    with pytest.raises(BadInputError):
        levels.by_level(tiny, ["MiniGrid-Nowhere-v0"], lambda dream: {})


def test_a_dream_of_something_else_is_refused(shipped):
    pole = Dream(shipped.world_model, shipped.starts, Card(env_id="CartPole-v1"))
    with pytest.raises(BadInputError, match="not a MiniGrid"):
        disentanglement.find_pairs(pole, 2, "official", seed=0)
    with pytest.raises(BadInputError, match="no layouts that could be held out"):
        scenes_of_a_kind(pole, "held out", 2, (1, 2), 0)


def test_super_resolution_compares_with_the_same_scene_drawn_at_that_size(shipped):
    drawn = scenes_of_a_kind(shipped, "official", 3, (1, 2), 0)
    assert drawn[2].shape == (3, 144, 144, 3)
    halved = drawn[2].reshape(3, 72, 2, 72, 2, 3).mean((2, 4))
    assert np.abs(halved - drawn[1]).mean() < 4  # the same scene, though lines are drawn otherwise
    compared = super_resolution.compare(shipped, drawn)
    figures, names = compared["×2"], super_resolution.renderers(shipped)
    values = {name: figures[name]["psnr"]["value"] for name in (*super_resolution.FILTERS, *names)}
    assert all(15 < value < 60 for value in values.values())
    best = max(super_resolution.FILTERS, key=values.get)
    assert figures["best filter"] == best
    for name in names:
        lead = figures["lead over the best filter"][name]["psnr"]["value"]
        assert lead == pytest.approx(values[name] - values[best])
    if super_resolution.masked(shipped).startswith("0 "):  # then the mask changes nothing but rounding
        assert values[super_resolution.WEIGHTS] == pytest.approx(values[super_resolution.MASKED], abs=1e-3)


def test_one_state_is_rendered_at_every_size(shipped, monkeypatch):
    monkeypatch.setattr(super_resolution, "FACTORS", (0.5, 1, 4))
    figures = super_resolution.render_all_sizes(shipped, shipped.starts["random"][:1])
    assert [figure["size"] for figure in figures.values()] == [(36, 36), (72, 72), (288, 288)]
    assert all(figure["psnr to ×1"] > 15 for figure in figures.values())


def test_the_gallery_is_a_page_whose_pictures_are_there_and_small(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_generation, "LATEST", 30)  # digits go on for a thousand steps otherwise
    page = tmp_path / "gallery.md"
    gallery.write_gallery(page, gallery.EXHIBITS)
    text = page.read_text()
    pictures = [line.split("(")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) >= len(gallery.EXHIBITS)
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "gallery").iterdir()} == set(pictures)
    assert all(1_000 < (tmp_path / picture).stat().st_size < 300_000 for picture in pictures)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [e.title for e in gallery.EXHIBITS]
