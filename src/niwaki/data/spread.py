"""Some of many, from all parts of them."""

__all__ = ["spread"]


def spread(count: int, at_most: int | None) -> list[int]:
    """Return places spread evenly over a sequence, the first one included.

    Args:
        count: How many places there are.
        at_most: How many are wanted at most; None for all.

    Returns:
        Ascending places, all different.

    Examples:
        >>> spread(10, 4), spread(3, 4), spread(3, None)
        ([0, 2, 5, 7], [0, 1, 2], [0, 1, 2])
    """
    some = count if at_most is None else min(at_most, count)
    return [number * count // some for number in range(some)]
