"""How a gradient balancer finds what is shared, and what its scalar does in a loop."""

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import checkpoint

from niwaki.balance import Balancer
from niwaki.balance.jacobian import leaves_of, task_gradients
from niwaki.balance.surrogate import with_gradient

Make = Callable[..., Balancer]


def grads_of(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def close(one: dict[str, Tensor | None], other: dict[str, Tensor | None], tolerance: float = 1e-9) -> bool:
    assert one.keys() == other.keys()
    assert [name for name in one if (one[name] is None) != (other[name] is None)] == []
    return all(
        torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance)
        for a, b in zip(one.values(), other.values(), strict=True)
        if a is not None and b is not None
    )


def test_what_is_shared_and_what_is_a_tasks_own(problem: Any) -> None:
    found = task_gradients(problem.losses(0))
    assert found.tasks == ("a", "b", "c", "d")
    assert {id(each) for each in found.shared} == {id(problem.trunk), id(problem.block)}
    assert {id(leaf) for leaf, _ in found.own} == {id(head) for head in problem.heads.values()}
    sizes = [each.numel() for each in found.shared]
    block = [each is problem.block for each in found.shared].index(True)
    part = found.matrix.split(sizes, dim=1)[block]
    assert part[:2].abs().min() > 0
    assert part[2:].abs().max() == 0
    assert [each.shape for each in found.split(found.matrix[0])] == [each.shape for each in found.shared]
    assert problem.trunk.grad is None


def test_a_block_of_one_task_in_the_batch_is_its_own(problem: Any) -> None:
    found = task_gradients(problem.losses(0, ("b", "c")))
    assert [each is problem.trunk for each in found.shared] == [True]
    assert {id(leaf) for leaf, _ in found.own} == {id(problem.block), id(problem.heads["b"]), id(problem.heads["c"])}


def test_a_task_that_shares_nothing_is_no_row(problem: Any, make: Make) -> None:
    alone = nn.Parameter(torch.tensor(2.0))
    found = task_gradients({**problem.losses(0, ("c", "d")), "alone": alone**2, "constant": torch.tensor(1.0)})
    assert found.tasks == ("c", "d")
    balance = make("MGDA")  # a row of zeros would be its shortest vector
    balance({**problem.losses(0, ("c", "d")), "alone": alone**2, "constant": torch.tensor(1.0)}).backward()
    assert alone.grad == 4
    assert problem.trunk.grad.abs().max() > 0
    assert balance.weights["alone"] == balance.weights["constant"] == 1


def test_the_sum_of_all_gradients_is_equal_weighting(problem: Any, make: Make) -> None:
    make("EW")(problem.losses(1)).backward()
    expected = grads_of(problem)
    problem.zero_grad()
    value = make("Aggregator", method="Sum", options={})(problem.losses(1))
    value.backward()
    assert close(grads_of(problem), expected)
    assert value.item() == pytest.approx(sum(loss.item() for loss in problem.losses(1).values()))
    for name in ("IMTL_G", "MGDA", "UPGrad", "Aligned_MTL", "PCGrad"):  # on equal gradients all are the plain sum
        leaf = torch.tensor([1.0, 2.0], requires_grad=True)
        make(name)({task: (leaf**2).sum() for task in "abc"}).backward()
        assert leaf.grad is not None
        assert leaf.grad.tolist() == pytest.approx([6.0, 12.0], rel=1e-3), name


def test_each_task_may_have_its_own_graph(problem: Any, make: Make) -> None:
    """Routed models run one forward for each task."""
    make("UPGrad")(problem.losses(2)).backward()
    expected = grads_of(problem)
    problem.zero_grad()
    make("UPGrad")({task: problem.losses(2, (task,))[task] for task in "abcd"}).backward()
    assert close(grads_of(problem), expected)


def test_frozen_parameters_stay_without_gradient(problem: Any, make: Make) -> None:
    problem.block.requires_grad_(requires_grad=False)
    problem.heads["d"].requires_grad_(requires_grad=False)
    make("PCGrad")(problem.losses(3)).backward()
    assert problem.block.grad is None
    assert problem.heads["d"].grad is None
    assert problem.trunk.grad is not None
    problem.zero_grad()
    problem.trunk.requires_grad_(requires_grad=False)
    make("PCGrad")(problem.losses(3)).backward()
    assert problem.heads["a"].grad is not None


def test_scaled_accumulated_and_penalised_like_any_loss(problem: Any, make: Make) -> None:
    once = []
    for seed in (4, 5):
        problem.zero_grad()
        make("CAGrad")(problem.losses(seed)).backward()
        once.append(grads_of(problem))
    problem.zero_grad()
    for seed in (4, 5):
        total = make("CAGrad")(problem.losses(seed)) + 0.1 * problem.trunk.square().sum()
        (1024 * total / 2).backward()
    for name, parameter in problem.named_parameters():
        if parameter.grad is not None:
            expected = torch.stack([each[name] for each in once]).sum(0) * 512  # type: ignore[misc]  # none is None
            expected += 1024 * 0.2 * parameter.detach() * (name == "trunk")
            assert torch.allclose(parameter.grad, expected)


def test_a_term_on_the_same_graph_may_be_added(problem: Any, make: Make) -> None:
    losses = problem.losses(4)
    (make("PCGrad")(losses) + losses["a"]).backward()
    assert problem.heads["a"].grad.isfinite().all()


def test_under_autocast_the_balance_itself_is_in_full_precision(make: Make) -> None:
    torch.manual_seed(0)
    trunk, heads = nn.Linear(8, 8), nn.ModuleDict({task: nn.Linear(8, 1) for task in "ab"})
    x = torch.randn(16, 8)

    def losses(*, autocast: bool) -> dict[str, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            common = torch.tanh(trunk(x))
            return {task: (head(common).float() - len(task)).square().mean() for task, head in heads.items()}

    make("UPGrad")(losses(autocast=False)).backward()
    full = grads_of(trunk)
    trunk.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = make("UPGrad")(losses(autocast=True))
    value.backward()
    assert value.dtype == torch.float32
    assert close(grads_of(trunk), full, 0.05)


def test_checkpointed_activations_are_recomputed(problem: Any, make: Make) -> None:
    def losses(*, saved: bool) -> dict[str, Tensor]:
        x = torch.ones(2, 3, dtype=torch.float64)
        common = torch.tanh(x @ problem.trunk) if saved else checkpoint(_through, x, problem.trunk, use_reentrant=False)
        return {task: (common @ problem.heads[task]).square().mean() for task in "cd"}

    make("MGDA")(losses(saved=True)).backward()
    expected = grads_of(problem)
    problem.zero_grad()
    make("MGDA")(losses(saved=False)).backward()
    assert close(grads_of(problem), expected)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("name", ["MGDA", "GradNorm"])
def test_a_compiled_model_is_balanced_as_the_plain_one(name: str, problem: Any, make: Make) -> None:
    """Its graph is one node, and gives zeros for heads that a loss does not reach."""
    plain = make(name)
    plain(problem.losses(4)).backward()
    expected = grads_of(problem)
    problem.zero_grad()
    forward = type(problem).forward
    compiled = torch.compile(lambda x: forward(problem, x), backend="aot_eager")
    problem.forward = compiled
    balance = make(name)
    balance(problem.losses(4)).backward()
    assert close(grads_of(problem), expected)
    assert balance.weights == pytest.approx(plain.weights, rel=1e-6)


def test_sparse_gradients_are_taken(make: Make) -> None:
    table = nn.Embedding(5, 3, sparse=True)
    rows = torch.tensor([1, 3])
    make("PCGrad")({"a": table(rows).sum(), "b": table(rows).square().sum()}).backward()
    dense = nn.Embedding(5, 3, _weight=table.weight.detach().clone())
    make("PCGrad")({"a": dense(rows).sum(), "b": dense(rows).square().sum()}).backward()
    assert table.weight.grad is not None
    assert dense.weight.grad is not None
    assert torch.allclose(table.weight.grad.to_dense(), dense.weight.grad)


@pytest.mark.parametrize("name", ["PCGrad", "MGDA", "GradDrop", "GradNorm"])
def test_masked_weights_take_no_part(name: str, problem: Any, make: Make) -> None:
    """The network without the masked weights is balanced alike."""
    mask = torch.rand(problem.block.shape, generator=torch.Generator().manual_seed(1)) > 0.5
    balance = make(name)
    balance.masks = {problem.block: mask}  # type: ignore[attr-defined]  # each of these has it
    for seed in (5, 6):
        problem.zero_grad()
        balance(problem.losses(seed)).backward()
    kept, weights = problem.block.grad[mask], balance.weights

    class Cut(type(problem)):  # type: ignore[misc]  # the class of the fixture
        small: nn.Parameter

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            block = whole.masked_scatter(mask, self.small)
            common = torch.tanh(x @ self.trunk) @ self.frozen
            special = torch.tanh(common @ block)
            return {task: (special if task in "ab" else common) @ head for task, head in self.heads.items()}

    whole = problem.block.detach().clone()
    cut = Cut()
    cut.small = nn.Parameter(problem.block.detach()[mask].clone())
    other = make(name)
    for seed in (5, 6):
        cut.zero_grad()
        other(cut.losses(seed)).backward()
    assert other.weights == pytest.approx(weights, rel=1e-6)
    if name != "GradDrop":  # which draws for every entry
        assert torch.allclose(torch.as_tensor(cut.small.grad), kept)
    if name == "MGDA":  # what is masked still tells a rule that grows weights where to
        rows = task_gradients(problem.losses(6))
        mixed = torch.tensor(list(weights.values()), dtype=torch.float64) @ rows.matrix
        block = [each is problem.block for each in rows.shared].index(True)
        assert torch.allclose(problem.block.grad[~mask], rows.split(mixed)[block][~mask], rtol=1e-5)


@pytest.mark.parametrize("name", ["UPGrad", "CAGrad", "Nash_MTL", "PCGrad", "ConFIG"])
def test_nan_gradients_come_out_as_nan(name: str, problem: Any, make: Make) -> None:
    """Whoever watches the training finds them; the solvers would stop with an error of their own."""
    losses = problem.losses(5)
    make(name)({**losses, "b": losses["b"] * torch.nan}).backward()
    assert problem.trunk.grad.isnan().any()


def test_leaves_come_in_an_order_that_every_process_repeats(problem: Any) -> None:
    names = {id(parameter): name for name, parameter in problem.named_parameters()}
    orders = [[names[id(leaf)] for leaf in leaves_of(sum(problem.losses(seed).values()))] for seed in range(3)]
    assert orders[0] == orders[1] == orders[2]
    assert len(orders[0]) == len(set(orders[0])) == 6


def test_a_given_gradient_reaches_inner_tensors_too() -> None:
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    value = with_gradient(torch.tensor(3.0), [leaf * 2], [torch.tensor([1.0, -1.0])])
    value.backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [2.0, -2.0]
    assert not with_gradient(torch.tensor(3.0), [], []).requires_grad


def test_a_leaf_without_a_gradient_is_still_reached() -> None:
    leaf, other = torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)
    reached: list[object] = []
    node = get_gradient_edge(other).node
    node.register_hook(lambda *gradients: reached.append(gradients))
    with_gradient(torch.tensor(3.0), [leaf, other], [torch.tensor([1.0, -1.0]), None]).backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [1.0, -1.0]
    assert other.grad is None
    assert len(reached) == 1


def test_given_gradients_are_let_go_after_the_backward_pass() -> None:
    leaf, given = torch.ones(2, requires_grad=True), torch.ones(2)
    value = with_gradient(torch.tensor(3.0), [leaf], [given])
    kept = weakref.ref(given)
    value.backward()
    del given
    assert kept() is None
    with pytest.raises(RuntimeError, match="second time"):
        value.backward()


def _through(x: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(x @ weight)
