"""BatchNorm statistics after a cut."""

from collections.abc import Sequence
from itertools import islice

from niwaki.contract import read_batch
from niwaki.surgery import reestimate_batchnorm
from niwaki.tasks import Task
from niwaki.train.batch import relocate
from niwaki.train.randomness import own_randomness
from niwaki.train.streams import Batches
from niwaki.train.trainee import Trainee

__all__ = ["calibrate"]


def calibrate(trainee: Trainee, data: Batches, count: int, tasks: Sequence[Task]) -> None:
    """Estimate the BatchNorm statistics of a cut model, and of its averaged copy, on some batches.

    Args:
        trainee: Its models are changed.
        data: The training data.
        count: Number of batches; 0 leaves the statistics as they are.
        tasks: The tasks.
    """
    engine, names = trainee.engine, [task.name for task in tasks]
    models = [trainee.model, *([trainee.average.model] if trainee.average is not None else [])]
    with own_randomness():
        batches = [
            relocate(read_batch(each, names, trainee.model), engine.move, channels_last=engine.channels_last)
            for each in islice(data.peek(), count)
        ]
        inputs = [call.example for batch in batches for call in batch.calls]
        if not inputs:
            return
        for model in models:
            reestimate_batchnorm(model, inputs)
