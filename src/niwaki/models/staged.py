"""The settings of networks laid out as VGG-16: stages of convolutions, each at half the size of the one before."""

from typing import Self

from pydantic import Field, model_validator

from niwaki.models.base import ModelSettings

__all__ = ["StagedSettings"]


class StagedSettings(ModelSettings):
    """Channels and convolutions of each stage; VGG-16's (Simonyan and Zisserman, arXiv 1409.1556) by default.

    Attributes:
        channels: Channels of the stages.
        depths: Convolutions of each stage, as many as there are stages.

    Raises:
        SettingError: When `channels` and `depths` differ in length or a stage has no convolution.
    """

    channels: tuple[int, ...] = Field(default=(64, 128, 256, 512, 512), min_length=1)
    depths: tuple[int, ...] = Field(default=(2, 2, 3, 3, 3), min_length=1)

    @model_validator(mode="after")
    def _one_depth_a_stage(self) -> Self:
        if len(self.channels) != len(self.depths) or min(self.depths) < 1:
            raise ValueError("channels and depths have one entry for each stage, and a stage at least 1 convolution")
        return self

    def _counts(self) -> tuple[int, ...]:
        """Return the channels of each stage at this width."""
        return tuple(self._wide(count) for count in self.channels)
