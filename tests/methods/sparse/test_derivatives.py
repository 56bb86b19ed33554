"""Products with the Hessian against the whole Hessian."""

import torch
from torch import Tensor
from torch.autograd.functional import hessian

from niwaki.methods.sparse.derivatives import hessian_product


def test_products_equal_the_whole_hessian() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(12, generator=generator, dtype=torch.float64)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    vector = torch.randn(12, generator=generator, dtype=torch.float64)

    def loss(flat: Tensor) -> Tensor:
        return ((x @ flat[:9].view(3, 3)).tanh() @ flat[9:]).exp().mean()

    expected = hessian(loss, start) @ vector
    a, b = start[:9].clone().requires_grad_(), start[9:].clone().requires_grad_()
    found = hessian_product(loss(torch.cat([a, b])), {"a": a, "b": b}, {"a": vector[:9], "b": vector[9:]})
    torch.testing.assert_close(torch.cat([found["a"], found["b"]]), expected)


def test_a_straight_loss_and_an_unused_parameter_give_zeros() -> None:
    w, unused = torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)
    ones = {"w": torch.ones(2), "unused": torch.ones(1)}
    parameters = {"w": w, "unused": unused}
    for loss in (w.sum(), (w**3).sum()):
        found = hessian_product(loss, parameters, ones)
        assert found["unused"].tolist() == [0.0]
    assert hessian_product((2 * w).sum(), parameters, ones)["w"].tolist() == [0.0, 0.0]
    assert hessian_product((w**3).sum(), parameters, ones)["w"].tolist() == [6.0, 6.0]
    assert hessian_product(torch.tensor(1.0) + unused.sum(), {"w": w}, ones)["w"].tolist() == [0.0, 0.0]
