"""The form of every file here: safetensors, a manifest in its header, digests of both.

Nothing in it is code: reading one never runs anything. A changed bit anywhere is noticed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from niwaki.atomic import write_atomically
from niwaki.errors import FileError
from niwaki.files.deflated import deflate, inflate
from niwaki.version import __version__

__all__ = ["FORMAT", "read_container", "read_manifest_of", "write_container"]

FORMAT = 3
"""Version of the file form; every release reads its own and all older ones. Since 2 the places of a sparse tensor's
values may be told by gaps, and the values may be rounded; since 3 large entries of the manifest are deflated."""

_MANIFEST = "niwaki"
"""The only key of the header's metadata (safetensors writes several in any order, and equal models shall give equal
files): the manifest's digest, a line feed, the manifest as JSON, large entries deflated."""


def write_container(path: str | Path, kind: str, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write tensors and a manifest, atomically.

    Args:
        path: The file.
        kind: What the file holds: ``"model"`` or ``"state"``.
        tensors: Name to tensor.
        manifest: Plain JSON data; format, kind, versions and the digest of the tensors are added.

    Raises:
        FileError: When the file can't be written.
    """
    ready = _apart(tensors)
    heading = {"format": FORMAT, "kind": kind, "niwaki": __version__, "torch": str(torch.__version__)}
    text = json.dumps({**heading, **deflate(manifest), "sha256": _digest(ready)}, separators=(",", ":"))
    metadata = {_MANIFEST: f"{_digest_of_text(text)}\n{text}"}
    # as bytes: safetensors' own writing to a path leaves a file of its own behind when it is killed
    write_atomically(path, save(ready, metadata=metadata))


def read_container(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_container` wrote.

    Args:
        path: The file.
        kind: What it must hold.

    Returns:
        Tensors on the CPU, in memory of their own, and the manifest.

    Raises:
        FileError: When the file is missing, truncated, altered, of another kind, or of a newer format.
    """
    manifest = read_manifest_of(path, kind)
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    if _digest(tensors) != manifest["sha256"]:
        raise FileError(
            f"{path} was altered: its tensors don't have the digest of the manifest; use another copy of it"
        )
    return tensors, manifest


def read_manifest_of(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a file's manifest alone, and check it.

    Args:
        path: The file.
        kind: What it must hold.

    Returns:
        The manifest.

    Raises:
        FileError: As `read_container`, but altered tensors are not noticed.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if _MANIFEST not in metadata:
        raise FileError(f"{path} holds tensors but was not written by Niwaki: its header has no manifest")
    digest, _, text = metadata[_MANIFEST].partition("\n")
    if _digest_of_text(text) != digest:
        raise FileError(f"{path} was altered: its manifest does not have its digest; use another copy of the file")
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format"] > FORMAT:
        raise FileError(
            f"{path} has file format {manifest['format']}, written by niwaki {manifest['niwaki']}; this niwaki "
            f"({__version__}) reads formats up to {FORMAT}: upgrade it"
        )
    if manifest["kind"] != kind:
        raise FileError(f"{path} holds a {manifest['kind']}, not a {kind}")
    return inflate(manifest, path)


def _opened(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise FileError(f"there is no file {path}")
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{path} is truncated, altered or no safetensors file ({error}); use another copy of it"
        ) from error


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor contiguous and in memory of its own: the form safetensors takes."""
    ready: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, each in tensors.items():
        tensor = each.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        ready[name] = tensor.clone() if memory in taken else tensor
        taken.add(memory)
    return ready


def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        if tensor.numel():
            plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
