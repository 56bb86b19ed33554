"""Data: samples of pictures and targets, checked when opened, the same on every machine."""

from niwaki.data.adashare import AdaShareCityscapesData, AdaShareNYUv2Data, TaskonomyData
from niwaki.data.augment import Augment, Augmented
from niwaki.data.base import DataSettings, Sample, SampleDataset, Split, Splits, datasets
from niwaki.data.checking import check_data
from niwaki.data.cifar import Cifar100Data
from niwaki.data.coco import CocoData
from niwaki.data.counting import ClassFindings, LabelCounts
from niwaki.data.digits import DigitsByTask, TwoDigitsData
from niwaki.data.findings import Findings, Problem, SplitFindings
from niwaki.data.kinds import kinds_of
from niwaki.data.mtan import CityscapesData, NYUv2Data
from niwaki.data.own import OwnData
from niwaki.data.rooms import CLASSES, Rooms, RoomsData, render_room
from niwaki.data.shift import ShiftMirror

__all__ = [
    "CLASSES",
    "AdaShareCityscapesData",
    "AdaShareNYUv2Data",
    "Augment",
    "Augmented",
    "Cifar100Data",
    "CityscapesData",
    "ClassFindings",
    "CocoData",
    "DataSettings",
    "DigitsByTask",
    "Findings",
    "LabelCounts",
    "NYUv2Data",
    "OwnData",
    "Problem",
    "Rooms",
    "RoomsData",
    "Sample",
    "SampleDataset",
    "ShiftMirror",
    "Split",
    "SplitFindings",
    "Splits",
    "TaskonomyData",
    "TwoDigitsData",
    "check_data",
    "datasets",
    "kinds_of",
    "render_room",
]
