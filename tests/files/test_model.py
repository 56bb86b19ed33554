import copy
import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import ContractError, FileError
from niwaki.files import container as containers
from niwaki.files import load, read_manifest, save, save_state
from niwaki.surgery import plans_of


class Net(nn.Module):
    """Two heads on one trunk."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1)
        self.heads = nn.ModuleDict({"depth": nn.Conv2d(width, 1, 1), "normals": nn.Conv2d(width, 3, 1)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.deep(self.norm(self.enter(x)).relu()).relu()
        return {name: head(x) for name, head in self.heads.items()}


class Tied(nn.Module):
    """An embedding that is also the last layer."""

    def __init__(self, *, tie: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7, bias=False)
        if tie:
            self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.embed(x), self.out.weight)


class Counting(nn.Linear):
    """Keeps something beside its tensors."""

    seen: Any = (0, {1: b"x"})

    def get_extra_state(self) -> Any:
        return self.seen

    def set_extra_state(self, state: Any) -> None:
        self.seen = state


X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return list(mine) == list(theirs) and all(
        a.dtype == theirs[name].dtype and a.numpy().tobytes() == theirs[name].numpy().tobytes()
        for name, a in mine.items()
    )


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(1)
    model = Net()
    model(X)  # running statistics that are not 0 and 1
    return nw.prune(model, X, channels=0.5, round_to=1)  # type: ignore[no-any-return, unused-ignore]


def test_a_pruned_model_comes_back_from_a_fresh_dense_one(tmp_path: Path, small: nn.Module) -> None:
    path = tmp_path / "small.safetensors"
    before = copy.deepcopy(small)
    save(small, path)
    dense = Net()
    weights = copy.deepcopy(dense.state_dict())
    again = load(dense, path)
    assert same_bits(again, small)
    assert same_bits(small, before)
    assert all(torch.equal(each, weights[name]) for name, each in dense.state_dict().items())
    assert again.enter.out_channels == small.enter.out_channels < 8  # type: ignore[union-attr, operator]
    for name, value in small.eval()(X).items():
        assert torch.equal(again.eval()(X)[name], value)
    assert [plan.to_json() for plan in plans_of(again)] == [plan.to_json() for plan in plans_of(small)]


def test_a_model_cut_twice(tmp_path: Path, small: nn.Module) -> None:
    smaller = nw.prune(small, X, channels=0.5, round_to=1)
    save(smaller, tmp_path / "m")
    again = load(Net(), tmp_path / "m")
    assert len(plans_of(again)) == 2
    assert same_bits(again, smaller)


def test_mode_and_gradients_are_those_of_the_fresh_model(tmp_path: Path, small: nn.Module) -> None:
    save(small, tmp_path / "m")
    fresh = Net().eval()
    fresh.deep.requires_grad_(requires_grad=False)
    again = load(fresh, tmp_path / "m")
    assert not again.training
    assert {name for name, each in again.named_parameters() if not each.requires_grad} == {"deep.weight", "deep.bias"}


def test_the_manifest_tells_what_is_in_the_file(tmp_path: Path, small: nn.Module) -> None:
    save(small, tmp_path / "m", tasks=["depth", "normals"])
    manifest = read_manifest(tmp_path / "m")
    assert (manifest.format, manifest.niwaki, manifest.torch) == (3, nw.__version__, torch.__version__)
    assert manifest.tasks == ("depth", "normals")
    assert manifest.model.endswith("Net")
    assert len(manifest.plans) == 1
    assert manifest.examples[0]["args"][0]["shape"] == [2, 3, 8, 8]
    save(Net(), tmp_path / "m", example=nw.Example(X, task=1))
    assert read_manifest(tmp_path / "m").examples[0]["kwargs"] == {"task": {"value": 1}}


def test_tied_tensors_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    model = Tied()
    save(model, tmp_path / "m")
    assert read_manifest(tmp_path / "m").tied == {"out.weight": "embed.weight"}
    tensors, _ = containers.read_container(tmp_path / "m", "model")
    assert list(tensors) == ["embed.weight"]
    again = load(Tied(), tmp_path / "m")
    assert again.out.weight is again.embed.weight  # type: ignore[union-attr]
    assert same_bits(again, model)


def test_a_model_that_ties_otherwise_is_refused(tmp_path: Path) -> None:
    save(Tied(), tmp_path / "tied")
    with pytest.raises(
        FileError, match=r"'out.weight' and 'embed.weight' are one tensor in the file but two in the model"
    ):
        load(Tied(tie=False), tmp_path / "tied")
    save(Tied(tie=False), tmp_path / "apart")
    with pytest.raises(FileError, match=r"'out.weight' and 'embed.weight' are one tensor in the model but differ"):
        load(Tied(), tmp_path / "apart")


def test_a_dense_model_of_another_width_is_refused_by_its_first_tensor(tmp_path: Path, small: nn.Module) -> None:
    save(small, tmp_path / "m")
    with pytest.raises(
        FileError, match=r"'enter.weight' is \[6, 3, 3, 3\] in the model given, but \[8, 3, 3, 3\] in the dense"
    ):
        load(Net(6), tmp_path / "m")


def test_a_cut_model_is_no_place_to_load_into(tmp_path: Path, small: nn.Module) -> None:
    save(small, tmp_path / "m")
    with pytest.raises(FileError, match="was cut before"):
        load(small, tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: net.double(), r"'enter.weight' is \[8, 3, 3, 3\] float64 in the model, \[8, 3, 3, 3\] float32 in"),
        (
            lambda net: net.register_parameter("more", nn.Parameter(torch.ones(2))),
            r"it holds no 'more' \(\[2\] float32",
        ),
        (lambda net: net.heads.pop("normals"), r"it holds 'heads.normals.weight' \(\[3, 8, 1, 1\] float32\)"),
        (lambda net: setattr(net, "deep", nn.Conv2d(8, 8, 1)), r"'deep.weight' is \[8, 8, 1, 1\] in the model given"),
    ],
)
def test_misfits_name_the_first_tensor(tmp_path: Path, change: Any, message: str) -> None:
    save(Net(), tmp_path / "m")
    other = Net()
    change(other)
    with pytest.raises(FileError, match=message):
        load(other, tmp_path / "m")


def test_a_loose_load_takes_what_fits(tmp_path: Path) -> None:
    model = Net()
    save(model, tmp_path / "m")
    other = Net()
    other.more = nn.Parameter(torch.ones(2))
    other.heads.pop("normals")
    again = load(other, tmp_path / "m", strict=False)
    assert torch.equal(again.enter.weight, model.enter.weight)  # type: ignore[union-attr, arg-type]
    assert torch.equal(again.more, torch.ones(2))  # type: ignore[arg-type]


def test_a_cut_that_can_not_be_replayed(tmp_path: Path, small: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    save(small, tmp_path / "m")

    class Renamed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.first = self.enter
            del self.enter

    with pytest.raises(FileError, match="does not fit"):
        load(Renamed(), tmp_path / "m")


def test_element_types_are_kept(tmp_path: Path) -> None:
    model = Net().bfloat16()
    save(model, tmp_path / "m")
    again = load(Net().bfloat16(), tmp_path / "m")
    for name, each in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], each)


def test_what_modules_keep_beside_tensors(tmp_path: Path) -> None:
    model = Counting(2, 2)
    model.seen = (5, {2: torch.arange(3)})
    save(model, tmp_path / "m")
    again = load(Counting(2, 2), tmp_path / "m")
    assert again.seen[0] == 5  # type: ignore[index]
    assert torch.equal(again.seen[1][2], torch.arange(3))  # type: ignore[index]
    model.seen = object()
    with pytest.raises(FileError, match=r"_extra_state is a object"):
        save(model, tmp_path / "m")


def test_wrapped_models_are_saved_without_their_wrapper(tmp_path: Path) -> None:
    model = Net()
    save(nn.DataParallel(model), tmp_path / "m")
    assert same_bits(load(Net(), tmp_path / "m"), model)


def test_a_state_file_is_no_model_and_a_manifest_must_be_whole(tmp_path: Path) -> None:
    save_state(tmp_path / "s", 1)
    with pytest.raises(FileError, match="holds a state, not a model"):
        load(Net(), tmp_path / "s")
    containers.write_container(tmp_path / "m", "model", {}, {"tasks": 3})
    with pytest.raises(FileError, match="no Manifest: tasks"):
        read_manifest(tmp_path / "m")


def test_what_a_newer_niwaki_adds_in_the_same_format_is_passed_over(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    tensors = {name: each.detach() for name, each in model.named_parameters()}
    containers.write_container(tmp_path / "m", "model", tensors, {"colour": "green"})
    assert same_bits(load(nn.Linear(2, 2), tmp_path / "m"), model)


def test_no_code_is_in_the_file(tmp_path: Path, small: nn.Module) -> None:
    save(small, tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    length = int.from_bytes(content[:8], "little")
    names = json.loads(content[8 : 8 + length]).keys() - {"__metadata__"}
    assert names == set(small.state_dict())


class TiedTrunk(nn.Module):
    """A weight used by two layers, and a module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.third = nn.Conv2d(32, 32, 3, padding=1)
        self.third.weight = self.second.weight
        self.again = self.second
        self.head = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.third(self.again(self.second(self.first(x).relu()).relu()).relu()))  # type: ignore[no-any-return]  # a module call


def test_a_cut_model_with_tied_weights_comes_back(tmp_path: Path) -> None:
    example = torch.randn(1, 3, 8, 8)
    small = nw.prune(nw.prune(TiedTrunk(), example, channels=0.75), example, channels=0.7)
    save(small, tmp_path / "small.safetensors")
    again = cast("TiedTrunk", load(TiedTrunk(), tmp_path / "small.safetensors"))
    assert again.third.weight is again.second.weight
    assert again.again is again.second
    assert again.second.weight.shape[0] < 32
    torch.testing.assert_close(again(example), small(example), rtol=0, atol=0)


def test_a_model_file_can_be_read_by_whom_other_new_files_can(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    save(nn.Linear(2, 2), tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_no_model_and_a_text_for_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="instance of torch.nn.Module; got function"):
        save(lambda x: x, tmp_path / "x.safetensors")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ContractError, match=r"write tasks=\['depth'\]"):
        save(nn.Linear(3, 1), tmp_path / "x.safetensors", tasks="depth")
    assert not list(tmp_path.iterdir())
