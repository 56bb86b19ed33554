"""Frames: samples made of several files each, whatever layout says where those lie."""

from niwaki.data.frames.cityscapes import CITYSCAPES_CLASSES, cityscapes_layout
from niwaki.data.frames.dataset import Frames
from niwaki.data.frames.depth import depth_plane
from niwaki.data.frames.label import label_plane
from niwaki.data.frames.layout import Layout, Listing
from niwaki.data.frames.normal import normal_plane, unit_normals
from niwaki.data.frames.picture import PICTURE
from niwaki.data.frames.plane import Array, Fault, Frame, Plane, flat
from niwaki.data.frames.settings import FrameData

__all__ = [
    "CITYSCAPES_CLASSES",
    "PICTURE",
    "Array",
    "Fault",
    "Frame",
    "FrameData",
    "Frames",
    "Layout",
    "Listing",
    "Plane",
    "cityscapes_layout",
    "depth_plane",
    "flat",
    "label_plane",
    "normal_plane",
    "unit_normals",
]
