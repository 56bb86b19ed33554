"""Task attention: against a slow reference, and the paper's size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.models import SegNetMTAN
from niwaki.models.segnet_mtan import attention_mask

SINGLE_TASK_SEGNET = 24_981_069  # what the paper's table of NYUv2 divides by, from its authors' code


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_full_size_is_the_papers_with_biases() -> None:
    with torch.device("meta"):
        net = SegNetMTAN()._assemble({"segmentation": 13, "depth": 1, "normals": 3})
    without = sum(m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is None)
    assert round((_params(net) + without) / SINGLE_TASK_SEGNET, 2) == 1.77  # table 2 of the paper, "#P."


def test_full_size_by_hand() -> None:
    with torch.device("meta"):
        net = SegNetMTAN()._assemble({"a": 2})
    c = (64, 128, 256, 512, 512)
    depths = (2, 2, 3, 3, 3)

    def conv(inside: int, out: int, kernel: int = 3) -> int:
        return inside * out * kernel**2 + 2 * out  # and a batch norm

    there = sum(conv(a, b) + (n - 1) * conv(b, b) for a, b, n in zip((3, *c), c, depths, strict=False))
    ends = [(512, 512), (512, 256), (256, 128), (128, 64), (64, 64)]
    back = sum(conv(a, b) + (n - 1) * conv(b, b) for (a, b), n in zip(ends, depths[::-1], strict=True))
    carried = sum(conv(a, b) for a, b in zip(c, (*c[1:], 512), strict=True)) + sum(conv(a, b) for a, b in ends)
    masks = sum(conv(seen, b, 1) + conv(b, b, 1) for seen, b in zip((64, 256, 512, 1024, 1024), c, strict=True))
    masks += sum(conv(a + b, b, 1) + conv(b, b, 1) for a, b in ends)
    assert _params(net) == there + back + carried + masks + 64 * 64 * 9 + 64 + 64 * 2 + 2


def test_a_mask_is_two_linear_maps_of_each_pixel() -> None:
    torch.manual_seed(0)
    mask = attention_mask(3, 2).double().train()
    for parameter in mask.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    w1, g1, b1, w2, g2, b2 = mask.parameters()
    y = x
    for weight, scale, shift, end in ((w1, g1, b1, torch.relu), (w2, g2, b2, torch.sigmoid)):
        y = torch.stack([weight[:, :, 0, 0] @ each.flatten(1) for each in y])
        mean, var = y.transpose(0, 1).flatten(1).mean(1), y.transpose(0, 1).flatten(1).var(1, unbiased=False)
        y = end((y - mean[:, None]) / (var[:, None] + 1e-5).sqrt() * scale[:, None] + shift[:, None])
        y = y.unflatten(2, (4, 5))
    torch.testing.assert_close(mask(x), y)


def test_the_network_follows_the_papers_equations() -> None:
    net = SegNetMTAN(channels=(8, 16), depths=(2, 3), width=1).build({"a": 2, "b": 1}, seed=4).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]  # is kept
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answers = net(x)
    for task in ("a", "b"):
        torch.testing.assert_close(answers[task], _slow(net, x, task))


def _slow(net: nn.Module, x: Tensor, task: str) -> Tensor:
    """Two stages written out: u, p of each stage, a = h(g([u, f(a before)])) and a * p, down and up."""

    def run(name: str, value: Tensor) -> Tensor:
        found: Tensor = net.get_submodule(name)(value)
        return found

    u1 = run("encoder.0.first", x)
    p1 = run("encoder.0.rest", u1)
    pooled1, index1 = F.max_pool2d(p1, 2, return_indices=True)
    u2 = run("encoder.1.first", pooled1)
    p2 = run("encoder.1.rest", u2)
    pooled2, index2 = F.max_pool2d(p2, 2, return_indices=True)
    v2 = F.max_unpool2d(pooled2, index2, [2, 2])
    q2 = run("decoder.0", v2)
    v1 = F.max_unpool2d(q2, index1, [2, 2])
    q1 = run("decoder.1", v1)

    own = f"paths.{task}"
    a = run(f"{own}.down.0", u1) * p1
    a = F.max_pool2d(run("carry_down.0", a), 2)
    a = run(f"{own}.down.1", torch.cat([u2, a], 1)) * p2
    a = F.max_pool2d(run("carry_down.1", a), 2)
    a = run("carry_up.0", _twice(a))
    a = run(f"{own}.up.0", torch.cat([v2, a], 1)) * q2
    a = run("carry_up.1", _twice(a))
    a = run(f"{own}.up.1", torch.cat([v1, a], 1)) * q1
    return run(f"{own}.answer", a)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def test_a_task_has_its_own_masks_and_shares_the_rest() -> None:
    net = SegNetMTAN(width=0.125).build({"a": 2, "b": 1})
    net(torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))["a"].sum().backward()
    missing = {name for name, p in net.named_parameters() if p.grad is None}
    assert missing == {name for name, _ in net.named_parameters() if name.startswith("paths.b.")}
