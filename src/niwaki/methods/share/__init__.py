"""Filter sharing: several task networks draw their filters from one bank."""

from niwaki.methods.share.method import FilterSharing
from niwaki.methods.share.selecting import Selector, selectors

__all__ = ["FilterSharing", "Selector", "selectors"]
