import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import ContractError, FileError
from niwaki.files import read_manifest
from niwaki.files.container import read_container, write_container
from niwaki.files.sparse import densify, sparsify
from niwaki.models import models

TASKS = {"segmentation": 13, "depth": 1, "normals": 3}


def thinned(model: nn.Module, density: float) -> nn.Module:
    """Keep the largest weights of every convolution and linear layer but the first and the heads' last, uniformly."""
    layers = [each for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    for layer in layers[1:]:
        flat = layer.weight.detach().view(-1)
        if layer.weight.shape[0] not in TASKS.values():
            flat[flat.abs().argsort()[: round((1 - density) * flat.numel())]] = 0.0
    return model


def dense_bytes(model: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in model.state_dict().values())


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(each.numpy().tobytes() == theirs[name].numpy().tobytes() for name, each in one.state_dict().items())


@pytest.mark.parametrize(("kind", "width"), [("resnet_unet", 1.0), ("deeplab", 1.0), ("segnet_mtan", 0.25)])
def test_a_model_of_nine_tenths_zeros_takes_at_most_15_percent_and_loses_no_bit(
    tmp_path: Path, kind: str, width: float
) -> None:
    settings_ = models.get(kind).model_validate({"kind": kind, "width": width})
    model = thinned(settings_.build(TASKS, seed=0), 0.1)
    nw.save(model, tmp_path / "sparse")
    assert (tmp_path / "sparse").stat().st_size <= 0.15 * dense_bytes(model)
    assert same_bits(nw.load(settings_.build(TASKS, seed=1), tmp_path / "sparse"), model)


def test_the_file_goes_on_shrinking_with_the_density(tmp_path: Path) -> None:
    layer = nn.Linear(512, 512, bias=False)
    for density, most in ((0.5, 0.54), (0.125, 0.16), (0.1, 0.13), (0.05, 0.067), (0.01, 0.02)):
        nw.save(thinned(nn.Sequential(nn.ReLU(), nn.Conv2d(1, 1, 1), copy.deepcopy(layer)), density), tmp_path / "m")
        assert (tmp_path / "m").stat().st_size < most * 4 * 512 * 512


@given(st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_every_pattern_of_zeros_comes_back(runs: list[tuple[int, bool]], seed: int) -> None:
    flat = torch.cat([torch.zeros(64), *(torch.full((count,), float(full)) for count, full in runs)])
    flat = flat * torch.rand(len(flat), generator=torch.Generator().manual_seed(seed))
    pieces = sparsify(flat)
    if pieces:
        assert torch.equal(densify(pieces, flat.shape), flat)
        assert sum(each.nbytes for each in pieces.values()) < flat.nbytes
    else:
        assert (flat != 0).sum() * 4 + len(flat) / 8 >= flat.nbytes


@pytest.mark.parametrize("zeros", [0, 1, 253, 254, 255, 256, 509, 510, 511, 1000])
def test_gaps_are_counted_as_by_hand(zeros: int) -> None:
    flat = torch.zeros(zeros + 300)
    flat[zeros], flat[-1] = 1.0, 2.0
    pieces = sparsify(flat)
    expected = []
    for gap in (zeros, 298):
        expected += [255] * (gap // 255) + [gap % 255]
    assert pieces["::gaps"].tolist() == expected
    assert torch.equal(densify(pieces, flat.shape), flat)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_minus_zero_and_nan_are_values(dtype: torch.dtype) -> None:
    tensor = torch.zeros(20, 20, dtype=dtype)
    tensor[3, :3] = torch.tensor([-0.0, float("nan"), float("-inf")])
    again = densify(sparsify(tensor), tensor.shape)
    assert again.view(torch.uint8).numpy().tobytes() == tensor.view(torch.uint8).numpy().tobytes()
    assert len(sparsify(tensor)["::values"]) == 3


def test_an_empty_mask_whole_numbers_and_small_tensors() -> None:
    assert torch.equal(densify(sparsify(torch.zeros(8, 9)), [8, 9]), torch.zeros(8, 9))
    assert sparsify(torch.zeros(99, dtype=torch.int64)) == sparsify(torch.zeros(63)) == {}


def test_a_file_of_format_1_still_loads(tmp_path: Path) -> None:
    weight = torch.zeros(16, 16)
    weight[2, 5], weight[9, 9] = 0.5, -3.0
    mask = torch.from_numpy(np.packbits(weight.numpy().reshape(-1) != 0))
    pieces = {"weight::mask": mask, "weight::values": weight[weight != 0], "bias": torch.ones(16)}
    manifest = {"format": 1, "names": ["weight", "bias"], "sparse": {"weight": [16, 16]}}
    write_container(tmp_path / "old", "model", pieces, manifest)
    again = nw.load(nn.Linear(16, 16), tmp_path / "old").state_dict()
    assert torch.equal(again["weight"], weight)
    assert torch.equal(again["bias"], torch.ones(16))


@pytest.mark.parametrize("values", ["float16", "bfloat16"])
def test_rounded_values_come_back_in_the_type_of_the_model(tmp_path: Path, values: Any) -> None:
    torch.manual_seed(0)
    model = thinned(nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 96), nn.BatchNorm1d(96)), 0.1)
    nw.save(model, tmp_path / "m", values=values)
    rounded = read_manifest(tmp_path / "m").rounded
    assert rounded["1.weight"] == "float32"
    assert not {"0.weight", "2.weight"} & set(rounded)  # dense ones
    stored, _ = read_container(tmp_path / "m", "model")
    dtype = getattr(torch, values)
    assert {each.dtype for name, each in stored.items() if name.endswith("values")} == {dtype}
    dense = nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 96), nn.BatchNorm1d(96))
    again = nw.load(dense, tmp_path / "m").state_dict()
    for name, each in model.state_dict().items():
        assert again[name].dtype == each.dtype
        assert torch.equal(again[name], each.to(dtype).float() if name in rounded else each)


def test_tied_sparse_tensors_are_rounded_once(tmp_path: Path) -> None:
    def build() -> nn.Sequential:
        model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(32, 32, bias=False), nn.Linear(32, 32))
        thinned(model, 0.1)
        model[2].weight = model[1].weight
        return model

    model = build()
    nw.save(model, tmp_path / "m", values="float16")
    again = nw.load(build(), tmp_path / "m")
    assert again.get_submodule("2").weight is again.get_submodule("1").weight
    assert torch.equal(again.state_dict()["1.weight"], model.state_dict()["1.weight"].half().float())


def test_a_value_that_does_not_fit_and_another_word_are_refused(tmp_path: Path) -> None:
    layer = nn.Linear(32, 32)
    with torch.no_grad():
        layer.weight.zero_()[3, 3] = 1e6
    with pytest.raises(FileError, match=r"'weight' has the value 1e\+06, but float16 ends at 6.55e\+04; save with"):
        nw.save(layer, tmp_path / "m", values="float16")
    nw.save(layer, tmp_path / "m", values="bfloat16")
    with pytest.raises(ContractError, match="values is one of float16, bfloat16, or None.*got 'int8'"):
        nw.save(layer, tmp_path / "m", values="int8")  # type: ignore[arg-type]  # the mistake under test


def test_infinities_are_rounded_to_themselves(tmp_path: Path) -> None:
    layer = nn.Linear(32, 32)
    with torch.no_grad():
        layer.weight.zero_()[0, :2] = torch.tensor([float("inf"), float("nan")])
    nw.save(layer, tmp_path / "m", values="float16")
    weight: Tensor = nw.load(nn.Linear(32, 32), tmp_path / "m").weight  # type: ignore[assignment]  # a Linear
    assert weight[0, 0] == float("inf")
    assert weight[0, 1].isnan()
