"""Ready networks, plain `nn.Module`s, and the registry that recipes name them by."""

from niwaki.models.base import ModelSettings, models
from niwaki.models.deeplab import DeepLab
from niwaki.models.multitask import MultiTaskNet
from niwaki.models.resnet_unet import ResNetUNet
from niwaki.models.segnet import SegNet

__all__ = ["DeepLab", "ModelSettings", "MultiTaskNet", "ResNetUNet", "SegNet", "models"]
