"""Niwaki makes multi-task neural networks small and fast without losing any of their tasks.

Every public name can be taken from here; nothing heavy is imported until a name is used.

Example:
    >>> import niwaki as nw
    >>> nw.Budget(macs=0.5)
    Budget(macs=0.5)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from niwaki.version import __version__

if TYPE_CHECKING:
    from niwaki.contract import Example as Example
    from niwaki.records import delta as delta
    from niwaki.settings import Budget as Budget

_HOMES = {
    "niwaki.contract": ("Example",),
    "niwaki.records": ("delta",),
    "niwaki.settings": ("Budget",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - the names are written once, in _HOMES


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"niwaki has no {name!r}; it has: {', '.join(sorted(_HOME))}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
