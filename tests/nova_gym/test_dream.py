import copy
import errno
import json
import warnings
from dataclasses import replace

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from nova_gym import Dream, DreamFileError, DreamSimulator, shipped_dreams, tensor_file
from nova_gym.errors import BadInputError


@pytest.fixture
def file(tiny, tmp_path):
    path = tmp_path / "tiny.safetensors"
    tiny.save(path)
    return path


def rewrite(file, change):
    """The same file with its header changed, as an honest tool would write it."""
    with safetensors.safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["nova_gym"])
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, file, metadata={"nova_gym": json.dumps(header)})


def test_a_dream_comes_back_as_it_was_saved(tiny, file):
    loaded = Dream.load(file)
    assert loaded.card == tiny.card
    assert loaded.world_model.config == tiny.world_model.config
    assert loaded.starts.keys() == tiny.starts.keys()
    state = tiny.starts["random"][:4]
    torch.testing.assert_close(loaded.world_model.render(state), tiny.world_model.render(state), atol=0.02, rtol=0)
    again = file.with_name("again.safetensors")
    loaded.save(again)  # half precision loses once, not twice
    assert again.read_bytes() == file.read_bytes()


def test_starts_of_tiles_are_kept_as_their_few_different_cells_without_loss(tiny, tmp_path):
    cells = torch.randn(5, tiny.world_model.config.rank)
    tiled = cells[torch.randint(5, (40, 9, 9), generator=torch.Generator().manual_seed(0))].movedim(3, 1)
    noise = torch.randn(40, *tiled.shape[1:])
    sizes = {}
    for name, bank in {"tiled": tiled, "noise": noise}.items():
        replace(tiny, starts={"official": bank}).save(tmp_path / name)
        assert torch.equal(Dream.load(tmp_path / name).starts["official"], bank.half().float())
        sizes[name] = (tmp_path / name).stat().st_size
    assert sizes["noise"] - sizes["tiled"] > 0.9 * 2 * noise.numel()  # 2 bytes a number


def test_a_file_holds_the_renderer_once_unless_doubt_was_taught_by_another(tiny, tmp_path):
    tiny, names = copy.deepcopy(tiny), {}
    for kind in ("same", "trained since"):
        tiny.save(tmp_path / kind)
        with safetensors.safe_open(tmp_path / kind, "pt") as opened:
            names[kind] = set(opened.keys())
        loaded = Dream.load(tmp_path / kind).world_model
        assert torch.equal(loaded.doubt.basis, tiny.world_model.doubt.basis)
        assert torch.equal(loaded.doubt.base, tiny.world_model.doubt.base)
        tiny.world_model.basis.data += 1.0
    assert names["trained since"] - names["same"] == {"doubt.basis"}


def test_the_shipped_dream_is_small_and_loads_by_name(shipped):
    assert shipped_dreams()["minigrid"].stat().st_size <= 1e6
    assert shipped.card.env_id == "MiniGrid-SimpleCrossingS9N1-v0"
    assert set(shipped.starts) == {"official", "random"}


def test_an_unknown_dream_says_what_there_is():
    with pytest.raises(
        BadInputError, match="neither a file nor one that ships \\(cart-pole, digits, frozen-lake, minigrid"
    ):
        Dream.load("atari")


def test_a_foreign_file_is_refused(tmp_path):
    text, foreign = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    text.write_text("not a dream")
    save_file({"x": torch.zeros(1)}, foreign)
    for path in (text, foreign):
        with pytest.raises(DreamFileError, match="not a dream"):
            Dream.load(path)


def test_a_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DreamFileError, match="truncated"):
        Dream.load(file)


def test_tampering_with_numbers_or_card_is_noticed(file):
    original = file.read_bytes()
    file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    with pytest.raises(DreamFileError, match="checksum"):
        Dream.load(file)
    file.write_bytes(original)
    rewrite(file, lambda header, tensors: header["card"].update(env_id="Other-v0"))
    with pytest.raises(DreamFileError, match="checksum"):
        Dream.load(file)


@pytest.mark.parametrize(("version", "advice"), [(99, "please upgrade"), (2, "record and train anew")])
def test_another_format_says_what_to_do(file, version, advice):
    rewrite(file, lambda header, tensors: header.update(format=version))
    with pytest.raises(DreamFileError, match=advice):
        Dream.load(file)


@pytest.mark.parametrize("version", [None, 1, 99])
def test_doubt_of_another_version_is_left_out_with_a_warning(version, tmp_path):
    file = tmp_path / "old doubt.safetensors"
    Dream.load("minigrid").save(file)

    def change(header, tensors):
        header.pop("doubt version")
        header.update({} if version is None else {"doubt version": version})
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Dream.load(file).world_model.has_doubt
    rewrite(file, change)
    with pytest.warns(
        UserWarning, match=r"cannot doubt: `nova-gym train RECORDING --stage doubt --dream .*old doubt"
    ) as said:
        dream = Dream.load(file)
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert not dream.world_model.has_doubt
    assert dream.card.doubt == {}
    dream.save(file)  # as a dream that never doubted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not Dream.load(file).world_model.has_doubt


def test_a_file_whose_tensors_do_not_fit_its_header_is_refused(file):
    def change(header, tensors):
        tensors.pop("base")
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    rewrite(file, change)
    with pytest.raises(DreamFileError, match="does not hold what its header says"):
        Dream.load(file)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("config", {"hidden": 10**9}),  # which would fill the memory
        ("config", {"rank": 10**9}),
        ("config", {"depth": 10**9}),
        ("config", {"codes": 10**5}),
        ("config", {"frame_size": [8 * 10**5, 8 * 10**5]}),
        ("config", {"cell": [0, 8]}),
        ("config", {"inr": None}),
        ("card", {"horizon": "long"}),
        ("card", {"dead_band": float("nan")}),
        ("card", {"dead_band": 10**400}),  # larger than a number with a fraction can be
        ("card", {"reward_discount": 2.0}),
        ("card", {"action_names": [{}]}),
        ("card", {"frame_size": [7, 9]}),
    ],
)
def test_a_sealed_header_that_lies_is_refused_in_one_line(file, part, wrong):
    def lie(header, tensors):
        header[part].update(wrong)
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    rewrite(file, lie)
    with pytest.raises(DreamFileError, match="does not hold what its header says") as error:
        Dream.load(file)
    assert "\n" not in str(error.value)


def test_a_whole_number_is_as_good_as_one_with_a_fraction_however_large(file):
    def change(header, tensors):
        header["card"]["dead_band"] = 10**30
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    rewrite(file, change)
    simulator = DreamSimulator(Dream.load(file), 2)
    before = simulator.reset(generator=torch.Generator().manual_seed(0)).clone()
    assert torch.equal(simulator.step(torch.tensor([2, 2])).state, before)  # nothing moves that far


def test_rewards_that_a_file_has_as_whole_numbers_are_real_ones(file):
    def change(header, tensors):
        header["config"]["reward_values"] = [round(value) for value in header["config"]["reward_values"]]
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    rewrite(file, change)
    assert Dream.load(file).world_model.heads.values.dtype == torch.float32


def test_starts_of_whole_numbers_are_refused(file):
    def change(header, tensors):
        for name in [name for name in tensors if name.startswith("starts.") and tensors[name].is_floating_point()]:
            tensors[name] = tensors[name].to(torch.int32)
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    rewrite(file, change)
    with pytest.raises(DreamFileError, match=r"are of torch\.int32"):
        Dream.load(file)


def test_a_file_with_a_number_that_is_not_finite_is_refused(file):
    def spoil(header, tensors):
        tensors["base"][0] = float("nan")
        header.pop("sha256")
        header["sha256"] = tensor_file._digest(tensors, header)

    rewrite(file, spoil)
    with pytest.raises(DreamFileError, match="not finite, in base"):
        Dream.load(file)


def test_a_full_disk_loses_nothing(tiny, file, monkeypatch):
    before = file.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensor_file, "save_file", full)
    with pytest.raises(BadInputError, match="No space left"):
        tiny.save(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("wrong", [70_000.0, -1e9, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["heads.reward.bias", "starts.random"])
def test_a_number_that_half_precision_cannot_hold_is_named_and_nothing_is_written(tiny, file, name, wrong):
    before, broken = file.read_bytes(), copy.deepcopy(tiny)
    tensors = {**broken.world_model.state_dict(), **{f"starts.{kind}": bank for kind, bank in broken.starts.items()}}
    tensors[name].flatten()[0] = wrong
    with pytest.raises(BadInputError, match=f"{name} holds .*half precision"):
        broken.save(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_the_largest_number_that_half_precision_holds_is_saved(tiny, file):
    large = copy.deepcopy(tiny)
    large.world_model.state_dict()["heads.reward.bias"][0] = 65_504.0
    large.save(file)
    assert Dream.load(file).world_model.state_dict()["heads.reward.bias"][0] == 65_504.0


def test_a_folder_that_cannot_be_written_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot write"):
        tiny.save(tmp_path / "file" / "dream.safetensors")


def test_an_unusable_device_is_one_clear_error(tiny):
    with pytest.raises(BadInputError, match="cannot be used here"):
        tiny.to("abacus")
