"""Procedurally drawn indoor scenes with exact segmentation, depth and normals."""

from niwaki.data.rooms.dataset import Rooms
from niwaki.data.rooms.parts import CLASSES
from niwaki.data.rooms.render import RoomSample, render_room
from niwaki.data.rooms.settings import RoomsData

__all__ = ["CLASSES", "RoomSample", "Rooms", "RoomsData", "render_room"]
