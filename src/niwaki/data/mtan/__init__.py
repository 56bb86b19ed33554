"""The folder tree of the MTAN papers: ``<root>/{train,val}/{image,label,depth,...}/<i>.npy``."""

from niwaki.data.mtan.cityscapes import CityscapesData
from niwaki.data.mtan.nyuv2 import NYUv2Data

__all__ = ["CityscapesData", "NYUv2Data"]
