"""State files: whatever a training needs to go on, as tensors and plain data, never pickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from niwaki.files.container import read_container, write_container
from niwaki.files.plain import Packer, Unpacker

__all__ = ["load_state", "save_state"]

_NATIVE = {torch.complex128: torch.float64}  # safetensors has no word for it: stored as pairs


def save_state(path: str | Path, state: Any) -> None:
    """Write nested data, such as ``{"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}``.

    Everything comes back as it was: integer keys, tuples, bytes, NaN, states of generators, a tensor that stands in two
    places. Tensors come back on the CPU and without gradients.

    Args:
        path: The file; it is replaced at once.
        state: Nested dicts, lists, tuples, sets, numbers, text, bytes, None, tensors, numpy arrays and scalars.

    Raises:
        FileError: When something has no form in such a file (the message names its place), or it can't be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_state(f"{folder}/s.safetensors", {3: (torch.tensor(0.5), b"x")})
        ...     load_state(f"{folder}/s.safetensors")
        {3: (tensor(0.5000), b'x')}
    """
    packer = Packer()
    content = packer.pack(state)
    forms = {name: form for name, each in packer.tensors.items() if (form := _form(each))}
    tensors = {name: _storable(each) for name, each in packer.tensors.items()}
    write_container(path, "state", tensors, {"content": content, "forms": forms})


def load_state(path: str | Path) -> Any:
    """Read what `save_state` wrote.

    Args:
        path: The file.

    Returns:
        The nested data.

    Raises:
        FileError: When the file is missing, truncated, altered, no state, or of a newer format.
    """
    tensors, manifest = read_container(path, "state")
    forms: Mapping[str, str] = manifest["forms"]
    restored = {name: _restored(each, forms.get(name, "")) for name, each in tensors.items()}
    return Unpacker(restored).unpack(manifest["content"])


def _form(tensor: Tensor) -> str:
    """What has to be put back after reading: an element type that files lack, or a memory layout."""
    if tensor.dtype in _NATIVE:
        return "complex128"
    if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    return ""


def _storable(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return torch.view_as_real(tensor) if tensor.dtype in _NATIVE else tensor


def _restored(tensor: Tensor, form: str) -> Tensor:
    if form == "complex128":
        return torch.view_as_complex(tensor)
    return tensor.contiguous(memory_format=torch.channels_last) if form == "channels_last" else tensor
