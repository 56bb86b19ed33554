"""COCO in the layout of 2017: semantic segmentation, centres of objects, keypoints of people."""

from niwaki.data.coco.settings import CocoData

__all__ = ["CocoData"]
