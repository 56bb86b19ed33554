"""Whether a file's name, as a list of files gives it, stays inside the folder that it is looked up in."""

from pathlib import PurePosixPath

__all__ = ["lies_inside"]


def lies_inside(name: str) -> bool:
    """Tell whether a name is that of a file inside the folder: neither absolute nor through a parent folder.

    Args:
        name: The name, with ``/`` between folders.

    Examples:
        >>> [lies_inside(name) for name in ("a.png", "kitchen/a.png", "../a.png", "/a.png", "")]
        [True, True, False, False, False]
    """
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts
