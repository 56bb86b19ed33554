"""The graph form: a model's own programs at their new sizes, which train, save and are called like the model."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import NETS, Shuffled, Unpool, image
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import niwaki as nw
from niwaki.contract import Example, as_examples
from niwaki.errors import ContractError, SurgeryError
from niwaki.graph import find_channels, trace
from niwaki.surgery import GraphModel, Plan, cut, plans_of, reestimate_batchnorm
from niwaki.surgery.rewrite import rewrite

ANY_BATCH = sorted(set(NETS) - {"raw"})  # raw asks for len(x), which makes its batch a constant


def answers(model: nn.Module, example: Any) -> list[Tensor]:
    with torch.no_grad():
        return [leaf for each in as_examples(example) for leaf in pytree.tree_leaves(each.call(model))]


def tripled(example: Any) -> list[Example]:
    def thrice(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, 2 * tensor, tensor - 1])

    return [each.map(thrice) for each in as_examples(example)]


def both_forms(name: str) -> tuple[nn.Module, nn.Module, nn.Module, Any]:
    make, example = NETS[name]
    torch.manual_seed(0)
    model = make().eval()
    channels = find(model, example)
    plan = plan_of(channels, choose(channels), example)
    forms = [cut(model, plan, channels=channels, form=form) for form in ("module", "graph")]
    return model, *forms, example


@pytest.mark.parametrize("name", NETS)
def test_both_forms_answer_alike_and_hold_the_same_tensors(name: str) -> None:
    model, small, graph, example = both_forms(name)
    assert isinstance(graph, GraphModel)
    assert [plan.form for each in (small, graph) for plan in plans_of(each)] == ["module", "graph"]
    assert list(graph.state_dict()) == list(model.state_dict())
    for key, value in small.state_dict().items():
        assert torch.equal(value, graph.state_dict()[key])
    inputs = tripled(example) if name in ANY_BATCH else example
    for one, other in zip(answers(small, inputs), answers(graph, inputs), strict=True):
        torch.testing.assert_close(one, other)


def test_it_trains_and_follows_its_modes() -> None:
    _, small, graph, example = both_forms("flattened")
    before = graph.state_dict()["body.0.1.running_mean"].clone()
    first, second = answers(graph, example)[0], answers(graph, example)[0]
    assert torch.equal(first, second)
    assert torch.equal(graph.state_dict()["body.0.1.running_mean"], before)
    graph.train()
    assert not torch.equal(answers(graph, example)[0], answers(graph, example)[0])  # dropout draws
    graph.load_state_dict(small.state_dict())
    optimizer = torch.optim.SGD(graph.parameters(), 0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (graph(image()) - 1).square().mean()
        loss.backward()
        assert all(parameter.grad is not None for parameter in graph.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert int(graph.state_dict()["body.0.1.num_batches_tracked"]) == 20
    assert not torch.equal(graph.state_dict()["body.0.1.running_mean"], before)


def test_a_single_norm_may_be_frozen_while_the_rest_trains() -> None:
    _, _, graph, example = both_forms("residual")
    graph.train()
    graph.get_submodule("stem.1").eval()
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    answers(graph, example)
    assert torch.equal(graph.state_dict()["stem.1.running_mean"], before["stem.1.running_mean"])
    assert not torch.equal(graph.state_dict()["one.1.running_mean"], before["one.1.running_mean"])


def test_batch_norms_are_taken_anew_as_in_modules() -> None:
    _, small, graph, _ = both_forms("residual")
    batches = [image() * scale for scale in (1, 2, 3)]
    for each in (small, graph):
        reestimate_batchnorm(each, batches)
    for key, value in small.state_dict().items():
        torch.testing.assert_close(graph.state_dict()[key], value)


def test_train_only_outputs_and_routes_stay() -> None:
    _, small, graph, example = both_forms("routed")
    for mode in (True, False):
        for each in example:
            found, wanted = each.call(graph.train(mode)), each.call(small.train(mode))
            assert list(found) == list(wanted)
    assert list(graph(image(), task=1)) == ["task1"]


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model, _, graph, example = both_forms("shuffled")
    nw.save(graph, tmp_path / "small.safetensors")
    again = nw.load(copy.deepcopy(model), tmp_path / "small.safetensors")
    assert isinstance(again, GraphModel)
    for one, other in zip(answers(again, example), answers(graph, example), strict=True):
        assert torch.equal(one, other)


def test_a_copy_is_its_own() -> None:
    _, _, graph, example = both_forms("concat")
    other = copy.deepcopy(graph)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert all(answer.abs().max() > 0 for answer in answers(graph, example))
    assert "of Concat, 1 programs" in repr(other)


def test_it_can_be_cut_again() -> None:
    _, _, graph, example = both_forms("residual")
    again = nw.prune(graph, example, channels=0.5, round_to=1)
    assert sum(p.numel() for p in again.parameters()) < sum(p.numel() for p in graph.parameters())
    assert len(plans_of(again)) == 2


class Written(nn.Module):
    """A size in the text of its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.stem(x))
        answer: Tensor = self.head(y.view(y.shape[0], 16, 6, 6))
        return answer


def test_what_modules_can_not_do_comes_back_as_a_graph_and_says_why() -> None:
    model = Written().eval()
    channels = find(model, image())
    plan = plan_of(channels, choose(channels), image())
    small = cut(model, plan, channels=channels)
    assert isinstance(small, GraphModel)
    (told,) = plans_of(small)
    assert "returned as a graph, since as modules module 'Written' (Written) can't run" in told.notes[0]
    assert "form: its exported programs at their new sizes" in str(told)
    assert [tuple(each.shape) for each in answers(small, tripled(image()))] == [(6, 2, 6, 6)]
    with pytest.raises(SurgeryError, match="can't run with the sizes after the cut"):
        cut(model, plan, channels=channels, form="module")


def test_a_plan_on_another_checkpoint_takes_the_form_it_had() -> None:
    model = Written().eval()
    channels = find(model, image())
    (plan,) = plans_of(cut(model, plan_of(channels, choose(channels), image()), channels=channels))
    assert isinstance(Plan.from_json(plan.to_json()).apply(Written()), GraphModel)


def test_inputs_of_another_size_or_structure_are_refused() -> None:
    _, _, graph, _ = both_forms("residual")
    with pytest.raises(ContractError, match=r"takes inputs like its examples: \[any, 3, 8, 8\]"):
        graph(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ContractError, match="takes inputs like its examples"):
        graph((image(), image()))


def test_a_shuffle_is_cut_channel_by_channel() -> None:
    model = Shuffled().eval()
    channels = find_channels(trace(model, image()), permutations=True)
    removed = choose(channels)
    small = cut(model, plan_of(channels, removed, image()), channels=channels, form="graph")
    assert removed.sum() > choose(find(model, image())).sum()
    assert [each.shape for each in answers(small, image())] == [each.shape for each in answers(model, image())]


def test_tied_tensors_stay_tied() -> None:
    model, _, graph, _ = both_forms("shared")
    held = dict(graph.named_parameters(remove_duplicate=False))
    assert held["again.weight"] is held["first.weight"]
    assert len(list(graph.parameters())) == len(list(model.parameters()))


def test_it_runs_as_another_type() -> None:
    model = Unpool().eval()
    channels = find(model, image())
    small = cut(model, plan_of(channels, choose(channels), image()), channels=channels, form="graph")
    found = answers(small.double(), image().double())
    assert {each.dtype for each in found} == {torch.float64}


class Tail(nn.Module):
    """Reads the last two of six channels, counted from the end."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2, 6), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.outer(self.inner(x)[:, -2:])
        return answer


def test_a_size_that_no_number_can_replace_is_named_with_its_place() -> None:
    channels = find_channels(trace(Tail(), torch.zeros(1, 2)))
    removed = np.zeros(channels.count, np.bool_)
    labels = channels.tensors["inner.weight"][0]
    assert labels is not None
    removed[labels[1]] = True
    (program,) = channels.traced.programs
    (sliced,) = (node for node in rewrite(program, channels.values[0], removed).graph.nodes if "slice" in node.name)
    assert sliced.args[2] == -2
    removed[labels[-2:]] = True  # "from 0 before the end" would be everything
    message = (
        r"aten.slice.Tensor in the model itself can't be written at the sizes after the cut; keep its channels with"
    )
    with pytest.raises(SurgeryError, match=message):
        rewrite(program, channels.values[0], removed)


class Auxiliary(nn.Module):
    """A head that only training has, and a dropout before both."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.side = nn.Linear(3, 16), nn.Linear(16, 2), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Any:
        y = nn.functional.dropout(self.body(x), 0.7, self.training)
        return (self.head(y), self.side(y)) if self.training else self.head(y)


def test_dropout_is_left_out_of_the_proof_in_this_form_too() -> None:
    model, example = Auxiliary().eval(), torch.randn(4, 3)
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels, form="graph")
    assert [each.shape for each in small.train()(example)] == [(4, 2), (4, 2)]


def test_names_that_python_does_not_take() -> None:
    """Modules may be called "block1-0", as RegNet's are, and an input as one of Python's own functions."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
            self.trunk = nn.Sequential()
            self.trunk.add_module("block1-0", block)
            self.last = nn.Conv2d(8, 2, 1)

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torchvision's LRASPP calls it
            answer: Tensor = self.last(self.trunk(input))
            return answer

    model, x = Named().eval(), torch.randn(2, 3, 4, 4)
    channels = find(model, x)
    small = cut(model, plan_of(channels, choose(channels), x), channels=channels, form="graph")
    assert plans_of(small)[-1].form == "graph"
    assert small(x).shape == (2, 2, 4, 4)
