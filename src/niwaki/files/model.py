"""`save` and `load`: a compressed model as one file without code."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Named, as_examples, describe_example, task_names
from niwaki.errors import FileError, SurgeryError
from niwaki.files.container import read_container, read_manifest_of, write_container
from niwaki.files.fitting import require_dense_fit, require_fit, require_ties, stored_names
from niwaki.files.manifest import Manifest
from niwaki.files.plain import Packer, Unpacker
from niwaki.files.rounding import Narrow, read_narrow, restored, rounded
from niwaki.files.sparse import ENDINGS, VALUES, densify, sparsify
from niwaki.surgery import Plan, cuts_among, plans_of, recall, replay, unwrap

__all__ = ["load", "read_manifest", "save"]


def save(
    model: nn.Module,
    path: str | Path,
    *,
    tasks: Sequence[str | Named] | None = None,
    example: Any | None = None,
    values: Narrow | None = None,
) -> None:
    """Write a model's weights and everything needed to build it again from its dense parent.

    The file holds tensors and a manifest, never code. Tied tensors are stored once; a tensor whose zeros are worth it
    is stored as its values and their places: at 90 % zeros in an eighth of the dense bytes.

    Args:
        model: Any module, cut or not, compiled or not; it is not changed.
        path: The file; it is replaced at once.
        tasks: Task names, or tasks, to remember.
        example: The model's inputs, to remember their shapes; without it those of the plan are kept.
        values: ``"float16"`` or ``"bfloat16"``: what the values of sparse tensors are rounded to in the file. They are
            loaded in the type they had; all other tensors stay as they are. None keeps every bit.

    Raises:
        ContractError: When the model is no module, the tasks are no list, or ``values`` is another word.
        FileError: When a module keeps something that has no form in such a file, a value is too large for ``values``,
            or the file can't be written.

    Examples:
        >>> import tempfile
        >>> small, fresh = nn.Linear(3, 2), nn.Linear(3, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(small, f"{folder}/small.safetensors", tasks=["depth"])
        ...     again = load(fresh, f"{folder}/small.safetensors")
        >>> bool((again.weight == small.weight).all())
        True
    """
    plain = unwrap(model)
    found = stored_names(plain)
    tensors, tied = _content(found)
    packed, sparse, types = _packed(tensors, read_narrow(values))
    plans = plans_of(plain)
    specs = [describe_example(each) for each in as_examples(example)] if example is not None else None
    manifest = {
        "model": f"{type(plain).__module__}.{type(plain).__qualname__}",
        "plans": [json.loads(text) for text in recall(plain)],
        "examples": specs if specs is not None else list(plans[0].examples) if plans else [],
        "tasks": task_names(tasks) or [],
        "names": list(found),
        "tied": tied,
        "sparse": sparse,
        "rounded": types,
        "extra": _extra(plain, packed),
    }
    write_container(path, "model", packed, manifest)


def load(model: nn.Module, path: str | Path, *, strict: bool = True) -> nn.Module:
    """Build a saved model from a fresh dense one: replay its cuts, fill in its weights.

    Args:
        model: The dense model from the user's own code, with any weights; it is not changed.
        path: The file.
        strict: Whether a tensor that only the model or only the file has is refused.

    Returns:
        A new model with the file's weights, bit for bit, in the mode and on the device of ``model``.

    Raises:
        FileError: When the file is missing, truncated, altered or too new, or does not fit; the message names the first
            tensor that differs.
    """
    raw, heading = read_container(path, "model")
    manifest = _manifest(heading, path)
    fresh = unwrap(model)
    tensors = _unpacked(raw, manifest)
    steps = [json.dumps(each) for each in manifest.plans]
    if steps and recall(fresh):
        raise FileError(f"{path} was cut from a dense model, but the model given was cut before; build it anew")
    if len(cuts_among(steps)) == len(steps):  # other steps replace layers, and say themselves what they fit
        require_dense_fit(fresh, tensors, [Plan.from_json(text) for text in steps], path)
    small = copy.deepcopy(fresh)
    for step in steps:
        small = _replayed(small, step, path)
    require_fit(small, tensors, path, strict=strict)
    require_ties(small, tensors, manifest.tied, path)
    extra = {name: Unpacker(raw).unpack(each) for name, each in manifest.extra.items()}
    _fill(small, tensors, extra)
    return small


def read_manifest(path: str | Path) -> Manifest:
    """Read what a model file says about itself, without its tensors.

    Args:
        path: The file.

    Returns:
        The manifest.

    Raises:
        FileError: When the file is missing, truncated, altered, no model, or too new.
    """
    return _manifest(read_manifest_of(path, "model"), path)


def _manifest(heading: dict[str, Any], path: str | Path) -> Manifest:
    try:
        return Manifest.from_json(json.dumps(heading))
    except FileError as error:
        raise FileError(f"{path}: {error}") from None


def _content(found: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, and for every other name of it the first one."""
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    owners: dict[tuple[Any, ...], str] = {}
    for name, each in found.items():
        memory = (each.untyped_storage().data_ptr(), each.storage_offset(), tuple(each.shape), each.stride())
        key = (*memory, each.dtype) if each.numel() else (id(each),)
        first = owners.setdefault(key, name)
        if first == name:
            tensors[name] = each.detach()
        else:
            tied[name] = first
    return tensors, tied


def _packed(
    tensors: dict[str, Tensor], narrow: torch.dtype | None
) -> tuple[dict[str, Tensor], dict[str, list[int]], dict[str, str]]:
    """Return what is stored, the shapes of the sparse tensors, and the types of those that were rounded."""
    packed: dict[str, Tensor] = {}
    sparse: dict[str, list[int]] = {}
    types: dict[str, str] = {}
    for name, each in tensors.items():
        pieces = sparsify(each)
        if not pieces:
            packed[name] = each
            continue
        sparse[name] = list(each.shape)
        if narrow is not None and each.element_size() > narrow.itemsize:
            types[name] = str(each.dtype).removeprefix("torch.")
            pieces[VALUES] = rounded(pieces[VALUES], narrow, name)
        packed.update({f"{name}{ending}": piece for ending, piece in pieces.items()})
    return packed, sparse, types


def _unpacked(raw: dict[str, Tensor], manifest: Manifest) -> dict[str, Tensor]:
    pieces = {f"{name}{ending}" for name in manifest.sparse for ending in ENDINGS}
    held = {name: each for name, each in raw.items() if name not in pieces and not name.startswith(_EXTRA)}
    for name, shape in manifest.sparse.items():
        found = {ending: raw[f"{name}{ending}"] for ending in ENDINGS if f"{name}{ending}" in raw}
        held[name] = restored(densify(found, shape), manifest.rounded.get(name))
    held.update({name: held[first] for name, first in manifest.tied.items()})
    order = {name: place for place, name in enumerate(manifest.names)}
    return dict(sorted(held.items(), key=lambda pair: order.get(pair[0], len(order))))


_EXTRA = "::"


def _extra(model: nn.Module, packed: dict[str, Tensor]) -> dict[str, Any]:
    """What modules keep beside tensors (`nn.Module.get_extra_state`), as JSON data; its tensors join the others."""
    packer = Packer(prefix=_EXTRA)
    kept = {name: each for name, each in model.state_dict().items() if not isinstance(each, Tensor)}
    extra = {name: packer.pack(each, name) for name, each in kept.items()}
    packed.update(packer.tensors)
    return extra


def _replayed(model: nn.Module, step: str, path: str | Path) -> nn.Module:
    try:
        return replay(model, step)  # a cut was proved when it was made; what comes out is compared below
    except SurgeryError as error:
        raise FileError(f"{path} does not fit: its cut can't be replayed on the model given: {error}") from error


def _fill(model: nn.Module, tensors: dict[str, Tensor], extra: dict[str, Any]) -> None:
    mine = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, each in mine.items():
            if isinstance(each, Tensor) and name in tensors:
                each.copy_(tensors[name])
    if extra:
        model.load_state_dict(extra, strict=False)
