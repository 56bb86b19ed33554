"""Nested Python data as JSON and named tensors, without loss: the language of the state files.

JSON alone would turn tuples into lists, integer keys into text and bytes into errors. Here everything that JSON has no
word for is an object with one key, the *tag*: ``{"tuple": [...]}``, ``{"bytes": "..."}``, ``{"tensor": "t3"}``.
"""

import base64
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from niwaki.errors import FileError

__all__ = ["Packer", "Unpacker"]

_MAPPINGS: dict[str, type] = {"dict": dict, "ordered": OrderedDict, "counter": Counter}
_SEQUENCES: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset, "size": torch.Size}
_TAG_OF = {cls: tag for tag, cls in (*_MAPPINGS.items(), *_SEQUENCES.items())}


class Packer:
    """Turns nested data into JSON data and tensors.

    Args:
        prefix: Put before the names of the tensors.

    Examples:
        >>> packer = Packer()
        >>> packer.pack({1: (2, torch.zeros(3))})
        {'dict': [[1, {'tuple': [2, {'tensor': 't0'}]}]]}
        >>> list(packer.tensors)
        ['t0']
    """

    def __init__(self, prefix: str = "") -> None:
        self.tensors: dict[str, Tensor] = {}
        self._prefix = prefix
        self._known: dict[int, str] = {}

    def pack(self, value: Any, place: str = "state") -> Any:
        """Return a value as JSON data; its tensors go into `tensors`, one object once.

        Args:
            value: Nested dicts, lists, tuples, sets, numbers, text, bytes, None, tensors, numpy arrays and scalars.
            place: Where the value stands, for the message.

        Raises:
            FileError: When something has no form here; the message names its place.
        """
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind is list:
            return [self.pack(each, f"{place}[{i}]") for i, each in enumerate(value)]
        if kind in _MAPPINGS.values():
            return self._mapping(kind, value, place)
        if kind in _SEQUENCES.values():
            return {_TAG_OF[kind]: [self.pack(each, f"{place}[{i}]") for i, each in enumerate(value)]}
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, place)}
        return self._other(value, place)

    def _mapping(self, kind: type, value: dict[Any, Any], place: str) -> Any:
        if kind is dict and all(type(key) is str for key in value) and len(value) != 1:
            return {key: self.pack(each, f"{place}.{key}") for key, each in value.items()}
        pairs = [
            [self.pack(key, f"a key of {place}"), self.pack(each, f"{place}.{key}")] for key, each in value.items()
        ]
        return {_TAG_OF[kind]: pairs}

    def _tensor(self, value: Tensor, place: str) -> str:
        if value.layout is not torch.strided or value.is_quantized:
            raise FileError(f"{place} is a {value.layout} or quantised tensor; only dense ones can be stored")
        if id(value) not in self._known:
            self._known[id(value)] = self._aside(value)
        return self._known[id(value)]

    def _aside(self, tensor: Tensor) -> str:
        name = f"{self._prefix}t{len(self.tensors)}"
        self.tensors[name] = tensor
        return name

    def _other(self, value: Any, place: str) -> Any:
        if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject and value.dtype.fields is None:
            array = np.ascontiguousarray(value)
            raw = np.frombuffer(array.tobytes(), dtype=np.uint8).copy()
            name = self._aside(torch.from_numpy(raw))
            scalar = isinstance(value, np.generic)
            return {"array": [name, value.dtype.str, list(value.shape), scalar]}
        if type(value) is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": str(value)}
        if type(value) is complex:
            return {"complex": [value.real, value.imag]}
        raise FileError(
            f"{place} is a {type(value).__name__}, which a file without code can't hold; give numbers, text, bytes, "
            "tensors, arrays, or dicts, lists, tuples and sets of these"
        )


class Unpacker:
    """Turns JSON data and tensors back.

    Args:
        tensors: The tensors a `Packer` set aside.

    Examples:
        >>> Unpacker({}).unpack({"dict": [[1, {"tuple": [2, 3]}]]})
        {1: (2, 3)}
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self._readers: dict[str, Callable[[Any], Any]] = {
            "tensor": lambda name: tensors[name],
            "array": self._array,
            "bytes": base64.b64decode,
            "dtype": lambda name: getattr(torch, name),
            "device": torch.device,
            "complex": lambda parts: complex(*parts),
            **{tag: self._sequence(cls) for tag, cls in _SEQUENCES.items()},
            **{tag: self._mapping(cls) for tag, cls in _MAPPINGS.items()},
        }

    def unpack(self, value: Any) -> Any:
        """Return what was packed.

        Args:
            value: JSON data that `Packer.pack` made.

        Raises:
            FileError: When it holds a tag that this version does not know.
        """
        if isinstance(value, list):
            return [self.unpack(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            return {key: self.unpack(each) for key, each in value.items()}
        ((tag, content),) = value.items()
        if tag not in self._readers:
            raise FileError(f"the state holds a value of kind {tag!r}, which this niwaki does not know: upgrade niwaki")
        return self._readers[tag](content)

    def _sequence(self, cls: type) -> Callable[[Any], Any]:
        return lambda content: cls(self.unpack(each) for each in content)

    def _mapping(self, cls: type) -> Callable[[Any], Any]:
        return lambda content: cls({self.unpack(key): self.unpack(each) for key, each in content})

    def _array(self, content: list[Any]) -> Any:
        name, dtype, shape, scalar = content
        raw = self._tensors[name].numpy().tobytes()
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(raw, dtype=np.dtype(dtype), count=count).reshape(shape).copy()
        return array[()] if scalar else array
