"""A validation split, carved out of the training split the same way every time."""

from niwaki.errors import DataError

__all__ = ["carve"]

RUNS = 8


def carve(count: int, amount: float) -> tuple[list[int], list[int]]:
    """Divide the samples of a training split into those to learn from and those that pick the epoch.

    Neighbouring files are often neighbouring views of one scene, so validation takes a few whole runs of neighbours,
    spread evenly, instead of single samples that have their twins in training. No chance is involved.

    Args:
        count: How many samples the training split has, at least 2.
        amount: How much becomes validation: a fraction in (0, 1) or a whole number of samples.

    Returns:
        Indices for training and for validation, both ascending.

    Raises:
        DataError: When nothing would be left for one of the two.

    Examples:
        >>> train, val = carve(100, 0.1)
        >>> val
        [5, 18, 30, 42, 43, 55, 68, 80, 92, 93]
        >>> len(train), set(train) & set(val)
        (90, set())
    """
    wanted = round(count * amount) if isinstance(amount, float) else amount
    wanted = max(wanted, 1) if isinstance(amount, float) else wanted
    if not 0 < wanted < count:
        raise DataError(
            f"a validation split of {wanted} can't be carved from {count} training samples; "
            f"ask for 1 to {max(count - 1, 1)} samples, or a fraction below 1"
        )
    runs = min(RUNS, wanted)
    chosen: set[int] = set()
    for run in range(runs):
        length = wanted * (run + 1) // runs - wanted * run // runs
        low, high = count * run // runs, count * (run + 1) // runs
        start = low + (high - low - length) // 2
        chosen.update(range(start, start + length))
    return [index for index in range(count) if index not in chosen], sorted(chosen)
