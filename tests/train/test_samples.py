"""What a method is told of the training data's length."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from niwaki.train import Training
from niwaki.train.engine import Engine
from niwaki.train.loader import open_batches
from niwaki.train.samples import TrainData


def told(data: object) -> TrainData:
    training = Training(epochs=1, device="cpu")
    return TrainData(nn.Identity(), (), open_batches(data, training, (), shuffle=False), Engine.of(training))


def test_a_list_of_batches_has_a_length() -> None:
    assert len(told([(torch.zeros(2), {}), (torch.zeros(2), {})])) == 2


def test_a_stream_has_none() -> None:
    class Stream:
        def __iter__(self) -> Iterator[object]:
            yield torch.zeros(2), {}

    with pytest.raises(TypeError, match="has no length"):
        len(told(Stream()))
