"""Overparameterised training: a small network trains as a larger factorised one, then folds back."""

from niwaki.methods.expand.do_conv import DOConv
from niwaki.methods.expand.expand_net import ExpandNet
from niwaki.methods.expand.overparam import Overparam
from niwaki.methods.expand.rep_vgg import RepVGG
from niwaki.methods.expand.verify import compare_folded

__all__ = ["DOConv", "ExpandNet", "Overparam", "RepVGG", "compare_folded"]
