"""The baselines in our own loop: with an averaged copy, a picked epoch, accumulation, and killed in the middle."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.sparse.networks import batches_of, network, tasks_of

from niwaki.balance import MinMax, RelativeChange
from niwaki.methods.sparse import (
    SNIP,
    AdapMTL,
    DiSparse,
    GraSP,
    LotteryTicket,
    MagnitudePruning,
    ReweightedL1,
    SparseMethod,
)
from niwaki.train import Fitted, Training, fit
from niwaki.train.session import Session

METHODS: dict[str, SparseMethod] = {
    "reweighted_l1": ReweightedL1(density=0.2),
    "one_shot": MagnitudePruning(density=0.2),
    "gradual": MagnitudePruning(density=0.2, rounds=4, until=0.75),
    "snip": SNIP(density=0.2, batches=2),
    "grasp": GraSP(density=0.2, batches=2),
    "lottery": LotteryTicket(density=0.2, share=0.5),
    "disparse": DiSparse(density=0.2, batches=2),
    "disparse_dynamic": DiSparse(density=0.2, mode="dynamic", every=3),
    "adapmtl": AdapMTL(density=0.2),
}
each_method = pytest.mark.parametrize("name", METHODS)


def trained(name: str, training: Training, **options: Any) -> Fitted:
    model = network(2)
    data = batches_of(model, 4)
    return fit(model, tasks_of(model), data, data, training=training, method=METHODS[name], **options)


@each_method
@pytest.mark.parametrize("form", ["plain", "averaged", "accumulated"])
def test_what_is_kept_of_a_training_has_the_density_asked_for(name: str, form: str) -> None:
    """Also where the best epoch's weights, or averaged ones, are what is finished."""
    forms: dict[str, dict[str, Any]] = {"plain": {}, "averaged": {"ema": 0.9}, "accumulated": {"accumulate": 2}}
    fitted = trained(name, Training(steps=16, lr=1e-2, precision="32-true", **forms[form]), balance=MinMax())
    record: Any = fitted.findings["sparsity"]
    kept = {layer.name: layer.kept for layer in record.layers}
    size = sum(layer.size for layer in record.layers)
    assert sum(kept.values()) == round(0.2 * size)
    for layer, count in kept.items():
        assert int(fitted.model.get_parameter(layer).count_nonzero()) <= count
    found = sum(int(fitted.model.get_parameter(layer).count_nonzero()) for layer in kept)
    assert found >= 0.9 * round(0.2 * size)
    assert fitted.model.state_dict().keys() == network(2).state_dict().keys()


@each_method
def test_a_killed_training_ends_with_the_same_bits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(steps=16, lr=1e-2, precision="32-true", checkpoint_every=5)
    balance = RelativeChange(begin=2)
    whole = trained(name, training, balance=balance)
    save, saved = Session.save, []

    def killed(self: Session) -> None:
        save(self)
        saved.append(self.loop.step)
        if self.loop.step >= 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Session, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(name, training, balance=RelativeChange(begin=2), out=tmp_path)
    assert 5 <= max(saved) < 16
    again = trained(name, training, balance=RelativeChange(begin=2), out=tmp_path, resume=True)
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[key]), key
    assert again.findings == whole.findings


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::UserWarning:torch")  # its own, in inductor
@pytest.mark.parametrize("name", ["disparse_dynamic", "adapmtl", "reweighted_l1"])
def test_a_compiled_training_keeps_as_many(name: str) -> None:
    """Also where a method runs the compiled graph backwards once for each task."""
    fitted = trained(name, Training(steps=16, lr=1e-2, precision="32-true", compile=True))
    record: Any = fitted.findings["sparsity"]
    assert record.kept == round(0.2 * record.size)
