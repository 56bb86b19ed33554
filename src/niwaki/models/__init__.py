"""Ready networks, plain `nn.Module`s, and the registry that recipes name them by."""

from niwaki.models.base import ModelSettings, models
from niwaki.models.convnet import ConvNet
from niwaki.models.deeplab import DeepLab
from niwaki.models.mobilenet import MobileNetV2
from niwaki.models.multitask import MultiTaskNet
from niwaki.models.nets_by_task import NetsByTask
from niwaki.models.resnet_unet import ResNetUNet
from niwaki.models.routed_vgg import RoutedVGG
from niwaki.models.segnet import SegNet
from niwaki.models.segnet_mtan import SegNetMTAN
from niwaki.models.tasknets import TaskNets
from niwaki.models.vgg import VGG
from niwaki.models.zoo import Timm, from_timm

__all__ = [
    "VGG",
    "ConvNet",
    "DeepLab",
    "MobileNetV2",
    "ModelSettings",
    "MultiTaskNet",
    "NetsByTask",
    "ResNetUNet",
    "RoutedVGG",
    "SegNet",
    "SegNetMTAN",
    "TaskNets",
    "Timm",
    "from_timm",
    "models",
]
