"""A training written down, and taken up again with the same bits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from niwaki.errors import FileError
from niwaki.records import CutRecord
from niwaki.train.checkpoint import load_optimizer, load_tensors, optimizer_state, tensors_of
from niwaki.train.labels import SeenLabels
from niwaki.train.randomness import random_state, set_random_state

if TYPE_CHECKING:  # a session saves itself with what stands here
    from niwaki.train.session import Session

__all__ = ["VERSION", "Position", "check_version", "load_session", "session_state"]

VERSION = 2
"""Version of the checkpoint's form."""


@dataclass
class Position:
    """Where a training stands.

    Attributes:
        epoch: The current epoch.
        batch: Batches of it that are done.
        seconds: Wall time used up to the last checkpoint.
        begun: State of the data, for a training that is resumed in the middle of an epoch.
        random: State of the generators, for the same.
        finished: Whether every step is done.
    """

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    begun: dict[str, Any] | None = None
    random: dict[str, Any] | None = None
    finished: bool = False


def session_state(session: "Session") -> dict[str, Any]:
    """Return a training as nested tensors and plain data.

    Args:
        session: Between two steps.

    Returns:
        What `load_session` takes, in this or another process.
    """
    loop, place = session.loop, session.position
    trainee = loop.trainee
    average = trainee.average
    return {
        "version": VERSION,
        "settings": session.settings,
        "position": {
            "step": loop.step,
            "epoch": place.epoch,
            "batch": place.batch,
            "seconds": place.seconds,
            "finished": place.finished,
            "journal": session.journal.flush(),
        },
        "begun": session.batches.state() if place.batch else None,
        "random": random_state(),
        "model": tensors_of(trainee.model),
        "optimizer": optimizer_state(trainee.optimizer, trainee.model),
        "average": {"model": tensors_of(average.model), "updates": average.updates} if average is not None else None,
        "run": trainee.run.state_dict(),
        "balance": loop.balance.state_dict(),
        "seen": loop.seen.state(),
        "taught": loop.teacher.state() if loop.teacher is not None else None,
        "picker": session.picker.state(),
        "best": session.best,
        "history": session.history,
        "cuts": [each.to_json() for each in session.cuts],
        "notes": list(trainee.notes),
    }


def load_session(session: "Session", state: dict[str, Any]) -> None:
    """Take up a training; its run has been resumed, so that its model has the saved structure.

    Args:
        session: A session made with the same settings.
        state: What `session_state` returned.

    Raises:
        FileError: When the checkpoint is of a newer form or does not fit.
    """
    loop, place = session.loop, state["position"]
    trainee = loop.trainee
    load_tensors(trainee.model, state["model"])
    load_optimizer(trainee.optimizer, trainee.model, state["optimizer"])
    if trainee.average is not None:
        load_tensors(trainee.average.model, state["average"]["model"])
        trainee.average.updates = state["average"]["updates"]
    trainee.notes = list(state["notes"])
    loop.balance.load_state_dict(state["balance"])
    if state["version"] > 1:  # form 1 knew of neither
        loop.seen = SeenLabels.of(state["seen"])
        if loop.teacher is not None:
            loop.teacher.load_state(state["taught"])
    loop.step = place["step"]
    session.picker.load_state(state["picker"])
    session.best = state["best"]
    session.history = list(state["history"])
    session.cuts = [CutRecord.from_json(each) for each in state.get("cuts", ())]
    session.journal.rewind(place["journal"])
    session.position = Position(
        place["epoch"], place["batch"], place["seconds"], state["begun"], state["random"], place["finished"]
    )
    set_random_state(state["random"])


def check_version(state: dict[str, Any]) -> None:
    """Refuse a checkpoint that a newer Niwaki wrote.

    Args:
        state: What was loaded.

    Raises:
        FileError: When its form is newer than this.
    """
    if state.get("version", 0) > VERSION:
        raise FileError(
            f"the checkpoint has form {state['version']}, this Niwaki reads up to {VERSION}; install a newer Niwaki"
        )
