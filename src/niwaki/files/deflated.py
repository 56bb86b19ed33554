"""Large entries of a manifest, deflated: plans of cuts repeat themselves, and each round of a run leaves one."""

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niwaki.errors import FileError

__all__ = ["deflate", "inflate"]

_KEY = "deflated"
_LARGE = 4096
"""Characters of JSON beyond which an entry is deflated; what is short stays legible to other programs."""
_MOST = 2**30
"""Characters that the entries may have in all: a few bytes of a hostile file would fill the memory."""


def deflate(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with its large entries as base64 of deflated JSON, and ``deflated`` with their names.

    Args:
        manifest: Plain JSON data.

    Examples:
        >>> manifest = {"kind": "model", "plans": [{"kept": list(range(2000))}] * 6}
        >>> small = deflate(manifest)
        >>> small["kind"], small["deflated"], len(str(small)) < len(str(manifest)) / 8
        ('model', ['plans'], True)
        >>> inflate(small, "file") == manifest
        True
    """
    texts = {name: json.dumps(each, separators=(",", ":")) for name, each in manifest.items()}
    large = [name for name, text in texts.items() if len(text) > _LARGE]
    packed = {name: base64.b64encode(zlib.compress(texts[name].encode(), 9)).decode() for name in large}
    return {**manifest, **packed, **({_KEY: large} if large else {})}


def inflate(manifest: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Return the manifest that `deflate` was given; one of an older format stays as it is.

    Args:
        manifest: What `deflate` returned.
        path: The file, for messages.

    Raises:
        FileError: When an entry is no deflated JSON, or all of them are larger than any manifest.
    """
    names = manifest.get(_KEY, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FileError(f"{path} was altered: {_KEY} in its manifest is no list of names; use another copy")
    found = {name: each for name, each in manifest.items() if name != _KEY}
    left = _MOST
    for name in names:
        found[name], size = _inflated(name, found.get(name), left, path)
        left -= size
    return found


def _inflated(name: str, packed: Any, most: int, path: str | Path) -> tuple[Any, int]:
    """Return an entry, and how many characters it had."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(base64.b64decode(packed, validate=True), most + 1)  # 0 would be no limit
        fits = inflater.eof and len(raw) <= most
        value = json.loads(raw) if fits else None
    except (TypeError, ValueError, zlib.error) as error:
        raise FileError(f"{path} was altered: {name} in its manifest is no deflated JSON; use another copy") from error
    if not fits:
        raise FileError(
            f"{path}: {name} in its manifest breaks off, or makes it larger than {_MOST:,} characters; use another copy"
        )
    return value, len(raw)
