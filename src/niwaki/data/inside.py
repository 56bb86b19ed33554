"""Whether a file's name, as a list of files gives it, stays inside the folder that it is looked up in."""

from pathlib import PureWindowsPath

__all__ = ["lies_inside"]


def lies_inside(name: str) -> bool:
    """Tell whether a name is that of a file inside the folder: neither absolute nor through a parent folder.

    A name is refused everywhere that would leave the folder anywhere: with a drive, or a parent behind a backslash.

    Args:
        name: The name, with ``/`` between folders.

    Examples:
        >>> [lies_inside(name) for name in ("a.png", "kitchen/a.png", "../a.png", "/a.png", "")]
        [True, True, False, False, False]
    """
    path = PureWindowsPath(name)  # it splits at both slashes, and knows drives
    return bool(name) and not path.anchor and ".." not in path.parts
