"""Rows of kept filters: drawn, recombined, changed and put right, layer by layer and many at a time.

Every function takes and returns ``bool [P, n]``, the part of P rows that belongs to one layer of n filters.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from niwaki.methods.share.search.layer import Masks

__all__ = ["drawn", "fitting", "mixed", "some", "swapped"]

Counts = NDArray[np.int64]


def some(among: Masks, counts: Counts, chance: Generator, lean: NDArray[np.floating] | float = 0.0) -> Masks:
    """Choose as many of the marked filters of each row as a count says.

    Args:
        among: Which filters may be chosen.
        counts: ``[P]``: how many, at most as many as are marked.
        chance: The source of chance.
        lean: ``[P, n]``: filters with a lower value are likelier; a difference of 1 is never overturned by chance. With
            one value for all, all sets of that size are alike.

    Returns:
        The chosen ones.

    Examples:
        >>> chosen = some(np.array([[True, True, False]] * 2), np.array([1, 2]), np.random.default_rng(0))
        >>> chosen.sum(1).tolist(), chosen[:, 2].tolist()
        ([1, 2], [False, False])
    """
    keys = chance.random(among.shape, dtype=np.float32) + np.float32(lean)
    keys[~among] = np.inf
    order = np.argsort(keys, axis=1)
    chosen = np.zeros_like(among)
    np.put_along_axis(chosen, order, np.arange(among.shape[1]) < counts[:, None], axis=1)
    return chosen


def drawn(counts: Counts, filters: int, chance: Generator) -> Masks:
    """Draw rows that keep some filters of a layer, all alike.

    Args:
        counts: ``[P]``: how many each row keeps.
        filters: Filters of the layer.
        chance: The source of chance.

    Returns:
        ``[P, filters]``.
    """
    return some(np.ones((len(counts), filters), bool), counts, chance)


def fitting(rows: Masks, least: int, most: int, chance: Generator) -> Masks:
    """Put rows right that keep too few or too many: random filters join or leave.

    Args:
        rows: The rows.
        least: Filters kept at least.
        most: Filters kept at most.
        chance: The source of chance.

    Returns:
        The rows, each with ``least`` to ``most`` filters; rows that fit stay as they are.

    Examples:
        >>> rows = np.array([[True, True, True], [False, False, True]])
        >>> fitting(rows, 1, 2, np.random.default_rng(0)).sum(1).tolist()
        [2, 1]
    """
    counts = rows.sum(1)
    wrong = np.flatnonzero((counts < least) | (counts > most))
    if not len(wrong):
        return rows
    found, missing = rows.copy(), least - counts[wrong]
    joining = some(~rows[wrong], np.maximum(missing, 0), chance)
    leaving = some(rows[wrong], np.maximum(counts[wrong] - most, 0), chance)
    found[wrong] = (rows[wrong] | joining) & ~leaving
    return found


def mixed(first: Masks, second: Masks, chance: Generator) -> tuple[Masks, Masks]:
    """Recombine two parents filter by filter: both children keep what both parents keep, and share out the rest.

    The number that the first child keeps is drawn between those of its parents; the second keeps as many as are left.
    Parents of one size thus have children of that size.

    Args:
        first: One parent of each pair.
        second: The other.
        chance: The source of chance.

    Returns:
        The two children of each pair.

    Examples:
        >>> a, b = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
        >>> one, other = mixed(a, b, np.random.default_rng(0))
        >>> one.sum(1).tolist(), other.sum(1).tolist(), bool(one[0, 0] and other[0, 0])
        ([2], [2], True)
    """
    common, differing = first & second, first ^ second
    sizes = first.sum(1), second.sum(1)
    wanted = chance.integers(np.minimum(*sizes), np.maximum(*sizes), endpoint=True)
    chosen = some(differing, wanted - common.sum(1), chance)
    return common | chosen, common | (differing & ~chosen)


def swapped(rows: Masks, least: int, most: int, chance: Generator, lean: NDArray[np.floating] | float = 0.0) -> Masks:
    """Change rows by swaps: some kept filters make room for as many others.

    How many is drawn log-uniformly from 1 to a quarter of the kept ones: mostly few, sometimes many. Where sizes are
    free, half of the rows only shrink, and the others take in a number that is drawn anew.

    Args:
        rows: The rows.
        least: Filters kept at least.
        most: Filters kept at most.
        chance: The source of chance.
        lean: ``[P, n]``: filters with a lower value are likelier to come in, those with a higher one to leave, as in
            `some`.

    Returns:
        The changed rows.

    Examples:
        >>> swapped(np.array([[True, False, False]]), 1, 1, np.random.default_rng(0)).sum(1).tolist()
        [1]
    """
    counts = rows.sum(1)
    leaving = joining = _log_uniform(counts, chance)
    if least < most:
        joining = _log_uniform(counts, chance) * chance.integers(0, 2, len(rows))
        joining = np.clip(joining, leaving - (counts - least), leaving + (most - counts))
    joining = np.minimum(joining, rows.shape[1] - counts)
    if least == most:
        leaving = joining
    return (rows & ~some(rows, leaving, chance, -np.asarray(lean))) | some(~rows, joining, chance, lean)


def _log_uniform(counts: Counts, chance: Generator) -> Counts:
    """Draw from 1 to a quarter of each count."""
    highest = np.maximum(counts / 4, 1)
    found: Counts = np.floor(highest ** chance.random(len(counts))).astype(np.int64)
    return np.minimum(found, counts)
