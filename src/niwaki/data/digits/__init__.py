"""Two small pictures in one: MultiMNIST, MultiFashion, Fashion+MNIST."""

from niwaki.data.digits.two import TwoDigitsData

__all__ = ["TwoDigitsData"]
