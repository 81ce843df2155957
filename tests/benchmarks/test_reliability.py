"""What is tried to break the package counts each fault, and its page shows what the files say."""

import json

import pytest

from nova_gym.benchmarks.provenance import write_results
from nova_gym.benchmarks.reliability import broken, watching
from nova_gym.benchmarks.reliability.watching import in_its_own_process
from nova_gym.benchmarks.results_page.reliability import reliability_page
from nova_gym.errors import BadInputError


def bad_inputs(index, found):
    with found.watch(f"input {index}"):
        if index == 1:
            raise BadInputError("said in one line")
        if index == 2:
            raise KeyError("not documented")
        if index == 3:
            raise SystemExit(1)
        if index == 4:
            watching.os._exit(9)
        if index == 5:
            bytearray(b"x") * (watching.MEMORY + 10**8)
        if index == 6:
            while True:
                pass


def test_each_kind_of_fault_is_counted_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "CLOCK", 0.2)
    monkeypatch.setattr(watching, "RINGS", 3)
    found = in_its_own_process(bad_inputs, range(8), tmp_path, patience=20)
    assert (found.tried, found.refused, found.accepted) == (8, 1, 3)  # 0 and 7, and the memory that it got
    assert [kind.split(" at ")[0] for kind in sorted(found.kinds)] == [
        "KeyError",
        "exit code 1",
        "hang",
        "more than 1 GB",
        "the process ended with 9",
    ]


def test_broken_files_and_headers_are_broken_alike_each_time():
    data, header = bytes(range(200)), {"a": [1, {"b": 2.0}], "c": "d"}
    ways = [broken.broken_bytes(data, broken.random.Random(seed)) for seed in range(200)]
    assert ways == [broken.broken_bytes(data, broken.random.Random(seed)) for seed in range(200)]
    assert sum(each != data for each, _ in ways) > 180  # a byte may be drawn that was there
    assert sum(broken.broken_json(header, broken.random.Random(seed))[0] != header for seed in range(200)) > 180
    assert header == {"a": [1, {"b": 2.0}], "c": "d"}


def test_the_page_shows_what_the_files_say_and_names_the_commands_of_missing_ones(tmp_path):
    part = {"tried": 3210, "refused": 3000, "accepted": 209, "kinds": {"hang": 1}, "slowest": 1.5, "largest": 2e6}
    write_results(tmp_path / "fuzz.json", {"count": 3210, "parts": {"dream files": part}}, None)
    page = reliability_page(tmp_path)
    assert "| dream files | 3,210 | 3,000 | 209 | 1 | 1.5 s | 2 MB |" in page
    assert "`hang`" in page
    for name in ("kills", "soak", "processes"):
        assert f"Not measured yet: `python -m nova_gym.benchmarks.reliability {name}`" in page
    (tmp_path / "soak.json").write_text(json.dumps({"parts": 3}))
    with pytest.raises(BadInputError, match=r"soak\.json holds no figures"):
        reliability_page(tmp_path)
