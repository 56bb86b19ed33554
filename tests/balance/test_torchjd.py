"""The door to TorchJD: objects and names, options, missing packages, states; its own backward pass as the oracle."""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchjd.aggregation as theirs
import torchjd.scalarization as scalars
from torch import Tensor, nn
from torchjd.autojac import jac_to_grad, mtl_backward

from niwaki.balance import Aggregator, Balancer, Scalarizer, as_balancer, balancers, make_balancer
from niwaki.balance.torchjd import room_of
from niwaki.balance.torchjd_state import read_state, write_state
from niwaki.errors import ContractError, MissingExtraError, SettingError, TrainingError

Make = Callable[..., Balancer]

OBJECTS = [
    theirs.UPGrad(),
    theirs.CAGrad(c=0.4),
    theirs.NashMTL(n_tasks=3),
    theirs.AlignedMTL(pref_vector=torch.tensor([0.2, 0.3, 0.5])),
    theirs.GramianWeightedAggregator(theirs.CRMOGMWeighting(theirs.MGDAWeighting(), alpha=0.5)),
    theirs.ConFIG(),
    theirs.Constant(torch.tensor([1.0, 2.0, 3.0])),
    theirs.Mean(),
    theirs.ExcessMTL(),
    theirs.PCD(),
    theirs.Krum(n_byzantine=0),
]


def network() -> tuple[nn.Module, nn.ModuleList]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5)), nn.ModuleList(nn.Linear(5, 1) for _ in range(3))


def losses_of(heads: nn.ModuleList, features: Tensor) -> dict[str, Tensor]:
    return {f"task{i}": (head(features) - i).square().mean() * (i + 1) for i, head in enumerate(heads)}


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("given", OBJECTS, ids=lambda each: type(each).__name__)
def test_an_object_as_it_is_trains_as_torchjds_own_backward(given: Any) -> None:
    torch.manual_seed(1)
    batches = torch.randn(3, 8, 4)
    trunk, heads = network()
    balance = as_balancer(given)  # a copy of it
    ours, shown = [], []
    for x in batches:
        trunk.zero_grad()
        heads.zero_grad()
        balance(losses_of(heads, trunk(x))).backward()
        shown.append(balance.weights)
        ours.append([each.grad.clone() for each in (*trunk.parameters(), *heads.parameters())])  # type: ignore[union-attr]  # all have one
    for x, answer, weights in zip(batches, ours, shown, strict=True):
        trunk.zero_grad()
        heads.zero_grad()
        features = trunk(x)
        mtl_backward(list(losses_of(heads, features).values()), features=features)
        told = jac_to_grad(trunk.parameters(), given)
        for mine, each in zip(answer, (*trunk.parameters(), *heads.parameters()), strict=True):
            assert torch.allclose(mine, torch.as_tensor(each.grad), rtol=1e-4, atol=1e-5)
        if told is not None:
            assert list(weights.values()) == pytest.approx(told.tolist(), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        scalars.Mean(),
        scalars.GeometricMean(),
        scalars.STCH(mu=0.3),
        scalars.COSMOS(lambda_=0.5, weights=torch.tensor([0.5, 0.3, 0.2])),
        scalars.PBI(theta=2.0, weights=torch.tensor([0.5, 0.3, 0.2])),
        scalars.Constant(torch.tensor([1.0, 2.0, 3.0])),
        scalars.UW(3),
        scalars.DWA(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_scalarizer_as_it_is_gives_its_value_and_slopes(given: Any) -> None:
    values = {"a": 0.5, "b": 1.5, "c": 2.0}
    mine = {task: torch.tensor(value, requires_grad=True) for task, value in values.items()}
    balance = as_balancer(given)
    value = balance(mine)
    value.backward()
    leaf = torch.tensor(list(values.values()), requires_grad=True)
    expected = given(leaf)
    expected.backward()
    assert value.item() == pytest.approx(expected.item())
    assert [each.grad.item() for each in mine.values()] == pytest.approx(leaf.grad.tolist())  # type: ignore[union-attr]  # all have one
    assert list(balance.weights.values()) == pytest.approx(leaf.grad.tolist())  # type: ignore[union-attr]  # it has one


@pytest.mark.parametrize("room", ["aggregation", "scalarization"])
def test_every_class_of_torchjd_can_be_named(room: str) -> None:
    """And is tried on five losses of three parameters; a class that appears in a newer TorchJD is tried too."""
    module, base = (theirs, theirs.Aggregator) if room == "aggregation" else (scalars, scalars.Scalarizer)
    names = [n for n in module.__all__ if isinstance(getattr(module, n), type) and issubclass(getattr(module, n), base)]
    vector = dict.fromkeys("abcde", 0.2)
    options: dict[str, dict[str, Any]] = {
        "Constant": {"weights": vector},
        "CAGrad": {"c": 0.4},
        "FairGrad": {"alpha": 1.0},
        "Krum": {"n_byzantine": 1},
        "TrimmedMean": {"trim_number": 1},
        "COSMOS": {"lambda_": 1.0, "weights": vector},
        "PBI": {"theta": 1.0, "weights": vector},
        "STCH": {"mu": 1.0},
    }
    tried = []
    for name in names:
        if name in {"Aggregator", "WeightedAggregator", "GramianWeightedAggregator", "Scalarizer"}:
            continue
        make: Any = Aggregator if room == "aggregation" else Scalarizer
        leaf = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
        balance = make(name, options=options.get(name, {}))
        balance({task: (leaf - i).square().sum() for i, task in enumerate("abcde")}).backward()
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all(), name
        tried.append(name)
    assert len(tried) >= 12


def test_a_users_object_is_left_alone() -> None:
    given = theirs.GradVac()
    balance = as_balancer(given)
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    balance({"a": leaf.sum(), "b": -leaf[0]}).backward()
    assert given.gramian_weighting._phi_t is None
    given.beta = 0.9
    assert balance.describe()["options"]["beta"] == 0.5


def test_what_is_no_balancer_is_refused() -> None:
    with pytest.raises(ContractError, match="the balancer is of type Linear; give one of niwaki.balance"):
        as_balancer(nn.Linear(1, 1))
    with pytest.raises(ContractError, match="the balancer is of type str"):
        as_balancer("UW")
    assert room_of(theirs.UPGradWeighting()) is None
    balance = balancers.get("EW")()
    assert as_balancer(balance) is balance


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "Aggregator", "method": "UPGard"}, "TorchJD has no aggregator 'UPGard'; did you mean 'UPGrad'"),
        ({"kind": "Scalarizer", "method": "Sums"}, r"no scalarizer 'Sums'; did you mean 'Sum'\? \(known: .*STCH"),
        ({"kind": "Aggregator", "method": "CAGrad", "options": {"d": 1}}, r"CAGrad: .*'d' \(options: c, norm_eps\)"),
        ({"kind": "Aggregator", "method": "Mean", "scale": "all"}, 'scale must be a number or "tasks"'),
        ({"kind": "Scalarizer", "method": "Mean", "scale": "all"}, 'scale must be a number or "tasks"'),
        ({"kind": "Scalarizer", "method": "IMTLL", "lr": 0}, "lr must be a number above 0; got 0"),
        ({"kind": "CAGrad", "c": -1}, "CAGrad: c must be non-negative, but got -1"),
        ({"kind": "CAGrad", "d": 1}, "CAGrad: d: unknown setting; allowed: c, norm_eps"),
        ({"kind": "MGDA", "normalise": "l1"}, "MGDA: normalise: input should be 'none', 'l2', 'loss' or 'loss"),
        ({"kind": "FairGrad", "alpha": -1}, "FairGrad: alpha must be at least 0; got -1"),
        ({"kind": "Aligned_MTL", "scale_mode": "max"}, "scale_mode: input should be 'min', 'median' or 'rmse'"),
        ({"kind": "GradVac", "beta": 3}, "`beta` must be in"),
    ],
)
def test_what_is_not_allowed_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make_balancer(given)


def test_options_are_checked_in_python_too(make: Make) -> None:
    with pytest.raises(SettingError, match="normalise must be none, l2, loss or loss"):
        make("MGDA", normalise="l1")
    with pytest.raises(SettingError, match="scale_mode must be min, median or rmse"):
        make("Aligned_MTL", scale_mode="max")


def test_a_preference_must_name_every_task(make: Make, problem: Any) -> None:
    balance = make("UPGrad", preference={"a": 1.0, "b": 1.0})
    balance(problem.losses(1, ("a", "b"))).backward()
    with pytest.raises(ContractError, match="the option 'pref_vector' has no value for the task 'c'; add one"):
        balance(problem.losses(1))


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("PCGrad", "torchjd.aggregation"),
        ("IMTL_L", "torchjd.scalarization"),
        ("CAGrad", "cvxpy"),
        ("Nash_MTL", "ecos"),
        ("UPGrad", "quadprog"),
    ],
)
def test_a_missing_package_is_told_when_the_balancer_is_made(
    name: str, package: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package.startswith("torchjd"):
        monkeypatch.setitem(sys.modules, package, None)
    else:
        seek: Any = sys.modules["torchjd._mixins"].find_spec
        monkeypatch.setattr("torchjd._mixins.find_spec", lambda each: None if each == package else seek(each))
    with pytest.raises(MissingExtraError, match=r"the balancer .* needs .*pip install 'niwaki\[balance\]'"):
        make(name)


def test_too_few_tasks_are_told(make: Make, problem: Any) -> None:
    with pytest.raises(TrainingError, match=r"TorchJD's Krum failed on the tasks a, b: .*at least 3 rows"):
        make("Krum")(problem.losses(1, ("a", "b")))
    with pytest.raises(TrainingError, match="TorchJD's GeometricMean failed on the tasks a: .*non-negative"):
        make("Scalarizer", method="GeometricMean")({"a": torch.tensor(-1.0)})


def test_sets_of_tasks_have_states_of_their_own(make: Make, problem: Any) -> None:
    balance = make("GradVac")
    for seed in range(3):
        balance(problem.losses(seed, ("a", "b")))
    state = balance.state_dict()["members"]
    for seed in range(3):
        balance(problem.losses(seed))
    both = balance.state_dict()["members"]
    assert [each["tasks"] for each in both] == [["a", "b"], ["a", "b", "c", "d"]]
    assert torch.equal(_phi(both[0]), _phi(state[0]))


def test_a_state_loaded_and_not_used_is_kept(make: Make, problem: Any) -> None:
    balance, other = make("GradVac"), make("GradVac")
    balance(problem.losses(1, ("a", "b")))
    other.load_state_dict(balance.state_dict())
    other(problem.losses(1))
    assert [each["tasks"] for each in other.state_dict()["members"]] == [["a", "b"], ["a", "b", "c", "d"]]


def test_famo_of_torchjd_goes_on_after_a_state(make: Make) -> None:
    """Its Adam is no tensor, and its own `state_dict` forgets it."""
    one = make("Scalarizer", method="FAMO")
    losses = [{"a": torch.tensor(2.0 - 0.1 * i), "b": torch.tensor(1.0 + 0.05 * i)} for i in range(8)]
    steps = list(itertools.pairwise(losses))
    for before, after in steps[:4]:
        one(before)
        one.after_step(after)
    two = make("Scalarizer", method="FAMO")
    two.load_state_dict(one.state_dict())
    for before, after in steps[4:]:
        assert one(before) == two(before)
        one.after_step(after)
        two.after_step(after)
    assert one.weights == two.weights
    assert one.weights["a"] != one.weights["b"]


def test_epochs_are_counted_by_those_that_count_them() -> None:
    ours, dwa = Scalarizer("DWA"), scalars.DWA()
    for a, b in ((4.0, 1.0), (2.0, 1.0), (1.0, 1.0)):
        ours({"a": torch.tensor(a), "b": torch.tensor(b)})
        dwa(torch.tensor([a, b]))
        ours.end_epoch()
        dwa.step()
    assert ours({"a": torch.tensor(1.0), "b": torch.tensor(1.0)}) == dwa(torch.tensor([1.0, 1.0]))
    ours({"a": torch.tensor(1.0), "b": torch.tensor(1.0)})
    assert ours.weights["b"] > ours.weights["a"]


def test_what_is_no_data_is_left_out_of_a_state() -> None:
    module: Any = nn.Linear(1, 1)
    module.solver, module.shape, module.places = object(), (1, torch.float64), [torch.device("cpu"), None]
    module.mixed = (1, object())
    state = read_state(module)
    assert {"solver", "mixed"} & state[""].keys() == set()
    other: Any = nn.Linear(1, 1)
    write_state(other, state)
    assert (other.shape, other.places) == ((1, torch.float64), [torch.device("cpu"), None])
    assert torch.equal(other.weight, module.weight)


def _phi(member: dict[str, Any]) -> Tensor:
    found: Tensor = next(each["_phi_t"]["tensor"] for each in member["state"].values() if "_phi_t" in each)
    return found
