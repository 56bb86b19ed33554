"""The folder tree of the MTAN papers: ``<root>/{train,val}/{image,label,depth,normal}/<i>.npy``."""

from niwaki.data.mtan.nyuv2 import NYUv2Data

__all__ = ["NYUv2Data"]
