"""Seeds out of seeds: whole numbers that look unrelated, the same on every machine."""

__all__ = ["mix"]


def mix(seed: int, index: int) -> int:
    """Return a number that names the stream of one sample.

    Neighbouring seeds of a generator give related streams; two rounds of splitmix64 (Steele et al., 2014) part them.

    Args:
        seed: Names a world of samples, 0 or more.
        index: Names the sample, 0 or more.

    Returns:
        A number in [0, 2^63).

    Examples:
        >>> mix(0, 0)
        8841707400507832957
    """
    state = (seed * 0x9E3779B97F4A7C15 + index + 1) & (2**64 - 1)
    for _ in range(2):
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & (2**64 - 1)
        state ^= state >> 31
    return state & (2**63 - 1)
