"""One call that looks at any data set."""

from niwaki.data.base import DataSettings
from niwaki.data.findings import Findings

__all__ = ["check_data"]


def check_data(settings: DataSettings) -> Findings:
    """Look at a data set and return what it holds, or the first things wrong with it.

    Args:
        settings: Which data.

    Returns:
        The findings: a table (``columns``, ``rows``) or ``problems``.

    Examples:
        >>> from niwaki.data import RoomsData
        >>> check_data(RoomsData(train=4, val=2, test=2, size=(24, 32), cache=False)).rows[0][:3]
        ('train', '24x32', 'segmentation')
    """
    return settings.check()
