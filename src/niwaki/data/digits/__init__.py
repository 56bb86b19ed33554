"""Small pictures: two in one (MultiMNIST, MultiFashion, Fashion+MNIST), or a task for each kind."""

from niwaki.data.digits.single import DigitsByTask
from niwaki.data.digits.two import TwoDigitsData

__all__ = ["DigitsByTask", "TwoDigitsData"]
