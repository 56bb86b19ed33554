"""Peace for one block, and everything as before after it."""

import gc
import logging
import sys

import pytest

from niwaki.quiet import quiet, uninterrupted


def test_prints_and_log_lines_stay_inside(capsys: pytest.CaptureFixture[str]) -> None:
    inner, outer = logging.getLogger("torch.of.a.test"), logging.getLogger("torch")
    inner.setLevel(logging.DEBUG)
    before = (inner.level, outer.level, inner.disabled, outer.disabled)
    with quiet():
        sys.stdout.write("noise")
        assert inner.disabled
        assert not logging.getLogger("torch.of.a.test.born.inside").isEnabledFor(logging.ERROR)
    assert (inner.level, outer.level, inner.disabled, outer.disabled) == before
    assert capsys.readouterr().out == ""


@uninterrupted()
def failing() -> None:
    with uninterrupted():
        assert not gc.isenabled()
    assert not gc.isenabled()
    raise ValueError("inside")


def test_the_collector_rests_and_goes_on() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"):
        failing()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with uninterrupted():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
