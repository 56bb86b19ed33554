"""`sparse_runtime`: layers whose zeros pay on this machine, multiplied by their non-zero weights alone."""

import copy
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from niwaki.contract import as_examples
from niwaki.errors import ContractError
from niwaki.measure import device_in_words, load_warning
from niwaki.methods.sparse.trial import answers, clock, difference, gain_of, inputs_of, time_layer, time_whole
from niwaki.modules import device_of, unwrap
from niwaki.records import LayerGain, SparseRuntimeRecord
from niwaki.surgery import CompressedRows, Kernel, pick_kernel

__all__ = ["SparseRuntime", "sparse_runtime"]

Layer = nn.Linear | nn.Conv2d
Keep = Literal["faster", "all"]


class SparseRuntime(NamedTuple):
    """What `sparse_runtime` returns.

    Attributes:
        model: The model to run: in evaluation mode, its parameters without gradients.
        report: What each layer and the whole gained; it prints as a table.
    """

    model: nn.Module
    report: SparseRuntimeRecord


def sparse_runtime(
    model: nn.Module,
    example: Any | None = None,
    *,
    sparsity: float = 0.9,
    keep: Keep = "faster",
    kernel: Kernel | Literal["auto"] = "auto",
    threads: int = 1,
) -> SparseRuntime:
    """Make a sparse model faster on the CPU where zeros pay: in 1x1 convolutions and linear layers.

    Dense kernels multiply by a zero as by any other number. Here each 1x1 convolution and linear layer that is sparse
    enough is timed as compressed rows (CSR) beside its dense form, in interleaved rounds, at the sizes of input that it
    has in the example. It is replaced where three rounds in four were faster; and where the whole model is no faster
    then, nothing is.

    Args:
        model: A model with zeros in its weights, on the CPU; it is not changed.
        example: The model's inputs, as for `measure`. Without them each layer is timed on a stand-in, and the whole
            model is not.
        sparsity: Share of zeros from which a layer is tried, to one weight; in (0, 1].
        keep: ``"faster"``, or ``"all"`` to replace every layer that is sparse enough, whatever it gains.
        kernel: Who multiplies: ``"mkl"``, ``"scipy"``, or ``"auto"`` for MKL where torch's wheel has it.
        threads: Threads inside one operator while timing; at least 1. SciPy takes one. Of one thread the processor's
            time is taken, which a busy machine leaves alone, of several the time on the wall.

    Returns:
        A model to run, and the report.

    Raises:
        ContractError: When the model is no module or not on the CPU, an option is not allowed, or torch's wheel has no
            product for ``"mkl"``.
        SurgeryError: When the answers are not those of the dense form.
        MeasureError: When ``threads`` is below 1.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(64, 64, 1), nn.ReLU())
        >>> _ = nn.init.dirac_(net[0].weight)
        >>> fast, report = sparse_runtime(net, torch.ones(1, 64, 8, 8), keep="all", kernel="scipy")
        >>> report.replaced, fast[0]
        (('0',), CompressedRows([64, 64], 98.4% zeros, kernel=scipy))
    """
    plain = unwrap(model)
    _check(plain, sparsity, keep)
    chosen, load = pick_kernel(kernel), load_warning()
    examples = None if example is None else as_examples(example)
    fast = _inert(plain)
    known = _layers(fast)
    calls = None if examples is None else inputs_of(fast, list(known.values()), examples)
    left = {name: why for name, layer in known.items() if (why := _unfit(layer, sparsity, calls))}
    rows = {layer: CompressedRows(layer, chosen) for name, layer in known.items() if name not in left}
    tried = [
        _tried(name, layer, rows[layer], None if calls is None else calls[layer], threads)
        for name, layer in known.items()
        if layer in rows
    ]
    report = SparseRuntimeRecord(
        kernel=chosen,
        threads=threads,
        device=device_in_words([torch.device("cpu")]),
        layers=tuple(each.model_copy(update={"replaced": keep == "all" or each.gain.sure}) for each in tried),
        left=left,
        warnings=(load,) if load else (),
    )
    fast = _with_rows(fast, {known[name]: rows[known[name]] for name in report.replaced})
    if not report.replaced or examples is None:
        return SparseRuntime(fast, report)
    apart = difference(answers(plain, examples), answers(fast, examples))
    gains, notes = time_whole(plain, fast, examples, threads)
    found = report.model_copy(update={"difference": apart, "gains": gains, "warnings": (*report.warnings, *notes)})
    if keep == "faster" and not gains["eager"].sure:
        dense = tuple(each.model_copy(update={"replaced": False}) for each in report.layers)
        return SparseRuntime(_inert(plain), found.model_copy(update={"layers": dense}))
    return SparseRuntime(fast, found)


def _check(model: nn.Module, sparsity: float, keep: str) -> None:
    if not 0 < sparsity <= 1:
        raise ContractError(f"sparsity is the share of zeros from which a layer is tried, in (0, 1]; got {sparsity}")
    if keep not in get_args(Keep):
        raise ContractError(f"keep is one of {', '.join(get_args(Keep))}; got {keep!r}")
    if device_of(model).type != "cpu":
        raise ContractError(f"compressed rows run on the CPU; the model is on {device_of(model)}: give model.cpu()")


def _inert(model: nn.Module) -> nn.Module:
    """Return a copy to run."""
    return copy.deepcopy(model).eval().requires_grad_(requires_grad=False)


def _layers(model: nn.Module) -> dict[str, Layer]:
    """Return the layers that could be compressed rows; subclasses have a forward of their own."""
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear or (type(module) is nn.Conv2d and module.kernel_size == (1, 1))
    }


def _unfit(layer: Layer, sparsity: float, calls: Mapping[Layer, Sequence[Tensor]] | None) -> str:
    """Return why a layer stays dense, or an empty text."""
    if int(layer.weight.count_nonzero()) > (1 - sparsity) * layer.weight.numel() + 1:
        return f"{_sparsity(layer):.1%} zeros, below {sparsity:.1%}"
    if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.padding not in {(0, 0), "same", "valid"}):
        return "grouped or padded"
    if layer.weight.dtype not in {torch.float32, torch.float64}:
        return f"{str(layer.weight.dtype).removeprefix('torch.')}: compressed rows take float32 and float64"
    if layer._forward_hooks or layer._forward_pre_hooks:  # noqa: SLF001 - torch has no other way to ask
        return "has hooks"
    return "not run by the example" if calls is not None and layer not in calls else ""


def _sparsity(layer: Layer) -> float:
    return 1 - int(layer.weight.count_nonzero()) / max(layer.weight.numel(), 1)


def _tried(name: str, layer: Layer, rows: CompressedRows, calls: Sequence[Tensor] | None, threads: int) -> LayerGain:
    times = time_layer(layer, rows, calls, threads)
    dense_ms, sparse_ms = (statistics.median(clock(times, threads)["eager", form]) for form in ("dense", "sparse"))
    return LayerGain(
        name=name,
        kind="linear" if isinstance(layer, nn.Linear) else "1x1 convolution",
        shape=(layer.weight.shape[0], layer.weight.shape[1]),
        sparsity=_sparsity(layer),
        dense_ms=dense_ms,
        sparse_ms=sparse_ms,
        gain=gain_of(times, threads),
        replaced=False,
    )


def _with_rows(model: nn.Module, rows: Mapping[Layer, CompressedRows]) -> nn.Module:
    """Put compressed rows wherever their layer stands, under every name."""
    names = [(name, module) for name, module in model.named_modules(remove_duplicate=False) if module in rows]
    for name, module in names:
        if not name:
            return rows[module]
        model.set_submodule(name, rows[module])
    return model
