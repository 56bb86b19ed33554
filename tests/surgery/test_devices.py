"""Devices other than the CPU: those without float64, and those with random generators of their own."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.surgery.nets import Concat, image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from niwaki.contract import Example
from niwaki.errors import SurgeryError
from niwaki.graph import find_channels, trace
from niwaki.surgery import proof
from niwaki.surgery.compare import agreements, vague_outputs
from niwaki.surgery.proof import Candidate, prove
from niwaki.surgery.rehearsal import draw, has_float64, randomised, seeded
from niwaki.surgery.silence import Oracle


class WithoutFloat64(TorchFunctionMode):
    """Refuses float64 as Apple's devices do, until a tensor has been moved to the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "double" and not hasattr(args[0], "landed"):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        found = func(*args, **(kwargs or {}))
        if name == "cpu":
            found = found.clone()
            found.landed = True
        return found


def test_answers_are_compared_and_drawn_where_float64_is() -> None:
    program = trace(nn.Linear(3, 2), torch.zeros(4, 3)).programs[0]
    one = torch.arange(8.0).reshape(4, 2)
    with WithoutFloat64():
        (found,) = agreements(program, [one], [one + 1.0])
        assert vague_outputs(program, [[one], [one + 1]]) == []
        drawn = draw(Example(one), 0)
    assert (found.error, found.scale) == (1.0, 7.0)
    assert torch.equal(drawn.args[0], draw(Example(one), 0).args[0])


class NoWideCopy(TorchFunctionMode):
    """Refuses to copy float64 into a narrower parameter, which such a device can't take."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        if getattr(func, "__name__", "") == "copy_" and args[1].dtype == torch.float64 != args[0].dtype:
            raise TypeError("no float64 here")
        return func(*args, **(kwargs or {}))


def test_random_weights_arrive_in_the_type_of_the_parameter() -> None:
    with NoWideCopy():
        twin = randomised(nn.Linear(3, 2), 0)
    assert twin.weight.dtype == torch.float32


def test_only_apples_devices_are_without_float64() -> None:
    there, without = torch.zeros(1), SimpleNamespace(device=torch.device("mps"))
    assert has_float64([there, torch.zeros(1, device="meta")])
    assert not has_float64([there, without])  # type: ignore[list-item]  # no tensor can be there without the device


def test_without_float64_the_first_verdict_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Concat().eval()
    channels = find_channels(trace(model, image()))
    wrong = copy.deepcopy(model)
    with torch.no_grad():
        next(wrong.parameters()).mul_(2.0)
    candidate = Candidate(model, wrong, channels, channels.removable & False, copy.deepcopy)
    seen: list[torch.dtype] = []

    def noted(*args: Any, dtype: torch.dtype, **options: Any) -> Any:
        seen.append(dtype)
        return Oracle(*args, dtype=dtype, **options)

    monkeypatch.setattr(proof, "Oracle", noted)
    with pytest.raises(SurgeryError, match="did not prove itself"):
        prove(candidate)
    assert seen == [torch.float32, torch.float64]
    seen.clear()
    monkeypatch.setattr(proof, "has_float64", lambda _: False)
    with pytest.raises(SurgeryError, match="did not prove itself"):
        prove(candidate)
    assert seen == [torch.float32]


class Accelerator:
    """Stands in for the random state of some devices."""

    devices = (torch.device("cuda:0"), torch.device("cuda:1"))

    def __init__(self) -> None:
        self.states = {
            device: torch.Generator().manual_seed(7 + i).get_state() for i, device in enumerate(self.devices)
        }

    def get_rng_state(self, device: torch.device) -> Tensor:
        return self.states[device]

    def set_rng_state(self, state: Tensor, device: torch.device) -> None:
        self.states[device] = state


def test_the_generators_of_the_models_devices_are_seeded_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    device, real, fake = torch.device("cuda:1"), torch.Generator, Accelerator()
    before = dict(fake.states)
    monkeypatch.setattr(torch, "get_device_module", lambda _: fake)
    monkeypatch.setattr(torch, "Generator", lambda _: real())
    model = nn.Linear(1, 1)
    monkeypatch.setattr(model, "buffers", lambda: [SimpleNamespace(device=device)])
    with seeded(model):
        assert torch.equal(fake.states[device], real().manual_seed(0).get_state())
        assert torch.equal(fake.states[torch.device("cuda:0")], before[torch.device("cuda:0")])
    assert all(torch.equal(fake.states[each], before[each]) for each in fake.devices)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_random_operators_on_cuda_draw_alike_and_leave_no_trace() -> None:
    model = nn.Linear(1, 1, device="cuda")
    before = torch.cuda.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(model):
            draws.append(torch.rand(3, device="cuda"))
    assert torch.equal(*draws)
    assert torch.equal(torch.cuda.get_rng_state(), before)
