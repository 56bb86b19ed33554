"""Whether a file's tensors fit a model, and the first one that does not."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from niwaki.errors import FileError
from niwaki.records import Plan

__all__ = ["require_dense_fit", "require_fit", "require_ties", "stored_names"]


def require_dense_fit(model: nn.Module, tensors: Mapping[str, Tensor], plans: Sequence[Plan], path: object) -> None:
    """Refuse a dense model that is not the one a file's plans were made for.

    Args:
        model: The fresh dense model.
        tensors: The file's tensors: those of the small model.
        plans: The plans between the two, oldest first.
        path: The file, for the message.

    Raises:
        FileError: Naming the first tensor that differs, its shape in the model and in the dense model of the file.
    """
    mine = stored_names(model)
    grown = {name: list(each.shape) for name, each in tensors.items()}
    for plan in plans:
        for (cut, dim), removed in plan.removed_positions().items():
            for name in _names_of(cut, mine) & grown.keys():
                grown[name][dim] += len(removed)
    for name, each in mine.items():
        if name in grown and list(each.shape) != grown[name]:
            raise FileError(
                f"{path} does not fit: {name!r} is {list(each.shape)} in the model given, but {grown[name]} in the "
                "dense model the file was cut from; build the model with the settings it had then, before any cut"
            )


def require_fit(model: nn.Module, tensors: Mapping[str, Tensor], path: object, *, strict: bool) -> None:
    """Refuse tensors that a model can't take as they are.

    Args:
        model: The model to fill.
        tensors: The file's tensors.
        path: The file, for the message.
        strict: Whether a tensor that only one side has is a fault.

    Raises:
        FileError: Naming the first tensor that differs, what was expected and what was found.
    """
    mine = stored_names(model)
    for name, tensor in mine.items():
        if name not in tensors:
            if strict:
                raise FileError(
                    f"{path} does not fit: it holds no {name!r} ({_form(tensor)} in the model); build the model the "
                    "file was saved from, or pass strict=False to leave it as it is"
                )
            continue
        if tensor.shape != tensors[name].shape or tensor.dtype != tensors[name].dtype:
            raise FileError(
                f"{path} does not fit: {name!r} is {_form(tensor)} in the model, {_form(tensors[name])} in the file; "
                "build the model with the settings and element type it was saved with"
            )
    spare = next((name for name in tensors if name not in mine), None)
    if strict and spare is not None:
        raise FileError(
            f"{path} does not fit: it holds {spare!r} ({_form(tensors[spare])}), which the model has not; build the "
            "model the file was saved from, or pass strict=False to pass over it"
        )


def require_ties(model: nn.Module, tensors: Mapping[str, Tensor], tied: Mapping[str, str], path: object) -> None:
    """Refuse a model that ties other tensors than the file does.

    Args:
        model: The model to fill.
        tensors: The file's tensors.
        tied: Name to the name it shares its content with.
        path: The file, for the message.

    Raises:
        FileError: Naming the first pair.
    """
    mine = stored_names(model)
    for name, first in tied.items():
        if name in mine and first in mine and not _same(mine[name], mine[first]):
            raise FileError(
                f"{path} does not fit: {name!r} and {first!r} are one tensor in the file but two in the model; tie "
                "them where the model is built"
            )
    owners: dict[int, str] = {}
    for name, tensor in mine.items():
        first = owners.setdefault(id(tensor), name)
        if first != name and {first, name} <= tensors.keys() and not _equal(tensors[first], tensors[name]):
            raise FileError(
                f"{path} does not fit: {name!r} and {first!r} are one tensor in the model but differ in the file; "
                "untie them where the model is built"
            )


def stored_names(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors a model's state dict names, as the objects the model holds."""
    found = model.state_dict(keep_vars=True)
    return {name: each for name, each in found.items() if isinstance(each, Tensor)}


def _names_of(name: str, tensors: Mapping[str, Tensor]) -> set[str]:
    """Return every name of the tensor that has a name: a plan knows a tied one by its first alone."""
    return {name, *(other for other, each in tensors.items() if each is tensors.get(name))}


def _same(one: Tensor, other: Tensor) -> bool:
    memory = one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return one is other or (
        memory and one.storage_offset() == other.storage_offset() and one.stride() == other.stride()
    )


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool(((one == other) | (one != one)).all())  # noqa: PLR0124 - NaN


def _form(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
