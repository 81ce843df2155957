"""The guide's pictures of the player."""

import imageio.v3 as iio

from nova_gym.benchmarks import player_pictures


def test_the_pictures_show_the_window_and_three_layers_side_by_side(shipped, tmp_path):
    files = player_pictures.draw(shipped, tmp_path)
    assert [file.name for file in files] == ["play.png", "play-rooms.png", "play-layers.png"]
    assert [iio.imread(file).shape[:2] for file in files] == [(760, 1000), (760, 1000), (365, 3 * 480 + 2 * 8)]
