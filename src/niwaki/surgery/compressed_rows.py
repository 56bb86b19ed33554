"""A 1x1 convolution or linear layer that multiplies by its non-zero weights alone, row by row (CSR), on the CPU."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from niwaki.errors import ContractError, SurgeryError

__all__ = ["CompressedRows", "Kernel", "pick_kernel"]

Kernel = Literal["mkl", "scipy"]
"""Who multiplies: torch's sparse product (Intel MKL; takes several threads), or SciPy's (every wheel; one thread)."""


class Rows(NamedTuple):
    """A matrix in compressed rows.

    Attributes:
        starts: Where each row begins among the values, int32 `[out + 1]`.
        columns: Column of each value, int32 `[values]`.
        values: The values that are not zero, `[values]`.
        shape: Rows and columns.
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    shape: tuple[int, int]


def compress_rows(weight: Tensor) -> Rows:
    """Return a matrix in compressed rows.

    Args:
        weight: `[out, in]`.

    Examples:
        >>> rows = compress_rows(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
        >>> rows.starts.tolist(), rows.columns.tolist(), rows.values.tolist()
        ([0, 1, 1], [1], [2.0])
    """
    place = weight.detach().nonzero()
    starts = torch.zeros(len(weight) + 1, dtype=torch.int32)
    starts[1:] = torch.bincount(place[:, 0], minlength=len(weight)).cumsum(0)
    values = weight.detach()[place[:, 0], place[:, 1]]
    return Rows(starts, place[:, 1].to(torch.int32), values, (weight.shape[0], weight.shape[1]))


@cache
def _hear_the_warning() -> None:
    """Let torch tell here that compressed rows are in beta, which it does once a process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        torch.eye(1).to_sparse_csr()


def by_mkl(rows: Rows, bias: Tensor, x: Tensor) -> Tensor:
    """Return `W x + b` for `x` `[in, n]`, by torch's product of compressed rows and a dense matrix."""
    _hear_the_warning()
    matrix = torch.sparse_csr_tensor(rows.starts, rows.columns, rows.values, rows.shape, check_invariants=False)
    return torch.addmm(bias[:, None], matrix, x)


def by_scipy(rows: Rows, bias: Tensor, x: Tensor) -> Tensor:
    """Return `W x + b` for `x` `[in, n]`, by SciPy's product of compressed rows and a dense matrix."""
    matrix = csr_matrix((rows.values.numpy(), rows.columns.numpy(), rows.starts.numpy()), shape=rows.shape, copy=False)
    return torch.from_numpy(matrix @ x.contiguous().numpy()).add_(bias[:, None])


_PRODUCTS: dict[Kernel, Callable[[Rows, Tensor, Tensor], Tensor]] = {"mkl": by_mkl, "scipy": by_scipy}


def pick_kernel(wanted: Kernel | Literal["auto"]) -> Kernel:
    """Return who multiplies, after a trial.

    Args:
        wanted: ``"mkl"``, ``"scipy"``, or ``"auto"``: MKL where torch was built with it, SciPy elsewhere.

    Returns:
        The kernel.

    Raises:
        ContractError: When it is another word, or torch's wheel has no such product.

    Examples:
        >>> pick_kernel("scipy")
        'scipy'
    """
    if wanted not in {"auto", *_PRODUCTS}:
        raise ContractError(f"kernel is one of auto, {', '.join(_PRODUCTS)}; got {wanted!r}")
    if wanted == "scipy":
        return "scipy"
    fault = _fault_of_mkl()
    if fault is None:
        return "mkl"
    if wanted == "mkl":
        raise ContractError(
            f"this wheel of torch {torch.__version__} multiplies no sparse matrix on the CPU ({fault}); use "
            "kernel='scipy', which every machine has, or a torch that was built with MKL"
        )
    return "scipy"


def _fault_of_mkl() -> str | None:
    if not torch.backends.mkl.is_available():
        return "it was built without MKL"
    try:
        by_mkl(compress_rows(torch.eye(2)), torch.zeros(2), torch.ones(2, 1))
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


class CompressedRows(nn.Module):
    """Takes the place of a 1x1 convolution or a linear layer, for inference on the CPU.

    What is multiplied are the weights that are not zero, in the order of the columns; the answers are those of the
    dense layer but for the order of the sum. It has no state of its own: a model is saved before.

    Args:
        layer: An `nn.Linear`, or an `nn.Conv2d` of kernel 1, without groups and padding; float32 or float64.
        kernel: Who multiplies.

    Examples:
        >>> dense = nn.Linear(3, 2)
        >>> sparse = CompressedRows(dense, "scipy")
        >>> with torch.no_grad():
        ...     torch.allclose(sparse(torch.ones(4, 3)), dense(torch.ones(4, 3)))
        True
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d, kernel: Kernel) -> None:
        super().__init__()
        self.kernel: Kernel = kernel
        self.strides = (layer.stride[0], layer.stride[1]) if isinstance(layer, nn.Conv2d) else None
        self.dense_shape = tuple(layer.weight.shape)
        rows = compress_rows(layer.weight.detach().flatten(1))
        bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().clone()
        for name, each in {"starts": rows.starts, "columns": rows.columns, "values": rows.values, "bias": bias}.items():
            self.register_buffer(name, each, persistent=False)

    @property
    def weight(self) -> Tensor:
        """The dense weight, made anew: for code that reads a layer's weight instead of calling the layer."""
        counts = self.starts.diff().long()
        dense = self.values.new_zeros(self.dense_shape)
        owners = torch.repeat_interleave(torch.arange(len(counts)), counts)
        dense.flatten(1)[owners, self.columns.long()] = self.values
        return dense

    def forward(self, x: Tensor) -> Tensor:
        """Answer as the dense layer does.

        Args:
            x: `[..., in]` of a linear layer; `[N, in, H, W]` or `[in, H, W]` of a convolution.

        Returns:
            `[..., out]`, or `[N, out, H / stride, W / stride]` without N where it came without.

        Raises:
            SurgeryError: When a gradient is to be taken.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise SurgeryError(
                "a layer of compressed rows is for inference: call it inside torch.no_grad(), or train the model that "
                "sparse_runtime was given"
            )
        if self.strides is None:
            return self._product(x.reshape(-1, x.shape[-1]).t()).t().contiguous().view(*x.shape[:-1], -1)
        x = x[..., :: self.strides[0], :: self.strides[1]]
        images = x.reshape(-1, *x.shape[-3:]).flatten(2)
        answers = [self._product(image) for image in images]
        together = answers[0] if len(answers) == 1 else torch.stack(answers)
        return together.view(*x.shape[:-3], -1, *x.shape[-2:])

    def extra_repr(self) -> str:
        """Return shape, share of zeros and kernel."""
        count = self.dense_shape[0] * self.dense_shape[1]
        return f"{list(self.dense_shape[:2])}, {1 - len(self.values) / count:.1%} zeros, kernel={self.kernel}"

    def _product(self, x: Tensor) -> Tensor:
        shape = (self.dense_shape[0], self.dense_shape[1])
        return _PRODUCTS[self.kernel](Rows(self.starts, self.columns, self.values, shape), self.bias, x)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:  # noqa: ARG002, FBT001 - torch's
        raise SurgeryError(
            f"{prefix.removesuffix('.') or 'the layer'} is a layer of compressed rows and has no state: save or export "
            "the model that sparse_runtime was given, and call sparse_runtime again on what is loaded"
        )
