import json
import os

import pytest

from nova_gym.errors import BadInputError
from nova_gym.files import write_json


def test_json_comes_back_as_it_was_written_and_people_can_read_it(tmp_path):
    values = {"success": 0.5, "share ≥ ½": [1, None, "Größe"]}
    write_json(tmp_path / "new" / "values.json", values)
    text = (tmp_path / "new" / "values.json").read_text(encoding="utf-8")
    assert json.loads(text) == values
    assert "Größe" in text
    assert text.endswith("\n")


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    file = tmp_path / "values.json"
    write_json(file, [1])
    with pytest.raises(TypeError):
        write_json(file, {"what": object()})
    assert json.loads(file.read_text()) == [1]
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(BadInputError, match="cannot write"):
        write_json(file / "below.json", [1])


@pytest.mark.parametrize("name", ["device", "folder", "", "\0", "x" * 300, "round"])
def test_only_a_file_is_replaced_by_a_file(tmp_path, name):
    os.mkfifo(tmp_path / "device")
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to(tmp_path / "round")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadInputError, match="cannot write"):
        write_json(tmp_path / name, [1])
    assert sorted(tmp_path.iterdir()) == before


def test_of_a_link_the_file_behind_it_is_written(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_json(tmp_path / "link", [1])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "[\n  1\n]\n"
