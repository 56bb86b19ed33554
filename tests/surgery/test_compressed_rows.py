import copy
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki.errors import ContractError, SurgeryError
from niwaki.surgery import CompressedRows, Kernel, compressed_rows, pick_kernel

KERNELS: tuple[Kernel, ...] = ("mkl", "scipy")


def thinned(layer: nn.Module, density: float, seed: int = 0) -> Any:
    weight = cast("Tensor", layer.weight).detach()
    weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) >= density] = 0.0
    return layer


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 7), (5, 12)),
        (nn.Linear(12, 7, bias=False), (2, 3, 12)),
        (nn.Linear(12, 7), (12,)),
        (nn.Conv2d(12, 7, 1), (1, 12, 5, 6)),
        (nn.Conv2d(12, 7, 1, stride=2, bias=False), (3, 12, 5, 6)),
        (nn.Conv2d(12, 7, 1, stride=(2, 3)), (12, 7, 9)),
    ],
)
def test_answers_are_those_of_the_dense_layer(
    layer: nn.Module, shape: tuple[int, ...], kernel: Kernel, dtype: torch.dtype
) -> None:
    dense = thinned(copy.deepcopy(layer), 0.3).to(dtype)
    sparse = CompressedRows(dense, kernel)
    x = torch.randn(shape, dtype=dtype)
    with torch.no_grad():
        expected, found = dense(x), sparse(x)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected)
    assert torch.equal(sparse.weight, dense.weight)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.sampled_from(KERNELS), st.integers(0, 99))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_products_equal_a_slow_loop(inside: int, out: int, density: float, kernel: Kernel, seed: int) -> None:
    dense = thinned(nn.Linear(inside, out), density, seed)
    x = torch.randn(4, inside, generator=torch.Generator().manual_seed(seed))
    expected = [
        [
            dense.bias[o].item() + sum(dense.weight[o, i].item() * row[i].item() for i in range(inside))
            for o in range(out)
        ]
        for row in x
    ]
    with torch.no_grad():
        torch.testing.assert_close(CompressedRows(dense, kernel)(x), torch.tensor(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_channels_last_and_inputs_that_are_views(kernel: Kernel) -> None:
    dense = thinned(nn.Conv2d(8, 4, 1), 0.2)
    sparse = CompressedRows(dense, kernel)
    x = torch.randn(2, 16, 6, 6).to(memory_format=torch.channels_last)[:, ::2]
    with torch.no_grad():
        torch.testing.assert_close(sparse(x), dense(x))


def test_a_copy_and_another_type_still_answer() -> None:
    dense = thinned(nn.Linear(6, 5), 0.4)
    sparse = copy.deepcopy(CompressedRows(dense, "mkl")).double()
    x = torch.randn(3, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(sparse(x), dense.double()(x))
    assert "[5, 6]" in repr(sparse)


def test_gradients_and_states_are_refused() -> None:
    sparse = nn.Sequential(CompressedRows(nn.Linear(3, 2), "scipy"))
    with pytest.raises(SurgeryError, match=r"is for inference: call it inside torch.no_grad"):
        sparse(torch.ones(1, 3, requires_grad=True))
    assert sparse(torch.ones(1, 3)).shape == (1, 2)
    with pytest.raises(SurgeryError, match="0 is a layer of compressed rows and has no state: save or export"):
        sparse.state_dict()


def test_a_wheel_without_mkl_is_told_and_scipy_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_kernel("mkl") == pick_kernel("auto") == "mkl"
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert pick_kernel("auto") == pick_kernel("scipy") == "scipy"
    with pytest.raises(ContractError, match=r"no sparse matrix on the CPU \(it was built without MKL\); use k"):
        pick_kernel("mkl")


def test_a_wheel_whose_mkl_lacks_the_product_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Tensor:
        raise RuntimeError("Calling addmm on a sparse CPU tensor requires Linux platform\nat somewhere")

    monkeypatch.setattr(compressed_rows, "by_mkl", fail)
    assert pick_kernel("auto") == "scipy"
    with pytest.raises(ContractError, match=r"\(Calling addmm on a sparse CPU tensor requires Linux platform\); use"):
        pick_kernel("mkl")


def test_another_kernel_is_refused() -> None:
    with pytest.raises(ContractError, match="kernel is one of auto, mkl, scipy; got 'cuda'"):
        pick_kernel("cuda")  # type: ignore[arg-type]  # the mistake under test
