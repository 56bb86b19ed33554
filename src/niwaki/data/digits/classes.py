"""What the ten classes of a folder in MNIST's format are called."""

from niwaki.data.digits.archive import CLASSES

__all__ = ["class_names"]

_NAMES = {
    "fashion_mnist": (
        *("T-shirt", "trousers", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    )
}
_NUMBERS = tuple(str(number) for number in range(CLASSES))


def class_names(folder: str) -> tuple[str, ...]:
    """Return the names of a folder's classes; numbers where nothing else is known.

    Examples:
        >>> class_names("mnist")[:2], class_names("fashion_mnist")[:2]
        (('0', '1'), ('T-shirt', 'trousers'))
    """
    return _NAMES.get(folder, _NUMBERS)
