"""CIFAR-100 in its binary layout: ``train.bin`` and ``test.bin``."""

from niwaki.data.cifar.cifar100 import Cifar100Data

__all__ = ["Cifar100Data"]
