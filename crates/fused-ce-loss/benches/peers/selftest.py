"""Asserts that the generator is the documented one, and that fused, unfused and explicit formulas agree."""

import itertools
import pathlib
import tempfile

import inputs
import numpy as np
import torch
from peers import PASSES, Peer, digest
from safetensors.torch import save_file

KINDS = ("linear_ce", "linear_ce_fused", "linear_ce_fused:8")
SHAPES = ((7, 5, 11), (130, 24, 101), (33, 64, 1000))


def generator():
    """First values: of SplitMix64 as published, of every array as the README has them."""
    assert inputs.splitmix(0, 0, 1)[0] == 0xE220A8397B1DCDAF
    whole = inputs.splitmix(5, 0, 100)
    assert (whole[40:] == inputs.splitmix(5, 40, 60)).all()
    hidden, weight, targets = inputs.generated(7, 5, 11)
    print("hidden ", [f"{x:#010x}" for x in hidden.numpy().view(np.uint32)[0, :3]], hidden[0, :3].tolist())
    print("weight ", [f"{x:#010x}" for x in weight.numpy().view(np.uint32)[0, :3]], weight[0, :3].tolist())
    print("targets", targets.tolist(), inputs.without_most(targets).tolist())
    x = inputs.uniform(9, 1000, 1500, 1.0).double()
    assert abs(x.mean()) < 2e-3 and abs(x.var() - 1 / 3) < 2e-3 and x.abs().max() < 1
    many = inputs.without_most(torch.zeros(100_000, dtype=torch.long))
    assert abs((many == inputs.IGNORE_INDEX).double().mean() - 0.8) < 0.01


def explicit(mode, n, d, v):
    """Loss and digests in float64 by the formulas of softmax, without autograd."""
    hidden, weight, targets = inputs.arrays("f64", n, d, v)
    if mode == "ignored":
        targets = inputs.without_most(targets)
    valid = targets != inputs.IGNORE_INDEX
    rows, y = hidden[valid], targets[valid]
    z = rows @ weight.T
    lse = z.logsumexp(1)
    g = (z - lse[:, None]).exp()
    g[torch.arange(len(y)), y] -= 1
    g /= len(y)
    loss = (lse - z.gather(1, y[:, None])[:, 0]).mean().item()
    if mode != "forward":
        hidden.grad = torch.zeros_like(hidden)
        hidden.grad[valid] = g @ weight
    if mode in ("train", "ignored"):
        weight.grad = g.T @ rows
    return [loss, *digest(hidden), *digest(weight)]


def close(got, want, bound, what):
    """Loss, RMS and products to a relative bound; sums to that share of RMS times entries, for they may cancel."""
    n, d, v = what[-1]
    scale = [abs(x) for x in want]
    scale[1], scale[4] = want[2] * n * d, want[5] * v * d
    for i, (g, w) in enumerate(zip(got, want)):
        assert (g != g) == (w != w), (what, i, got, want)
        assert not abs(g - w) > bound * max(scale[i], 1e-30), (what, i, g, w)


def run():
    generator()
    peer, count = Peer(), 0
    for mode, shape in itertools.product(PASSES, SHAPES):
        want = explicit(mode, *shape)
        if mode in ("train", "ignored"):
            # Both products are Σ_i ∂loss/∂z · z.
            assert abs(want[3] - want[6]) < 1e-12 * abs(want[3])
        for kind, (dtype, bound) in itertools.product(KINDS, (("f32", 2e-5), ("bf16", 2e-2))):
            got = peer.answer(kind, mode, dtype, *shape)
            assert got[0] > 0
            close(got[1:], want, bound, (kind, mode, dtype, shape))
            count += 1
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "case.safetensors")
        hidden, weight, targets = inputs.generated(130, 24, 101)
        save_file(dict(hidden=hidden, weight=weight, targets=targets), path)
        for rows in (130, 77):
            got = peer.answer("linear_ce", "train", "f32", rows, 24, 101, path)[1:]
            close(got, explicit("train", rows, 24, 101), 2e-5, ("file", (rows, 24, 101)))
    print("digest ", *peer.answer("linear_ce", "train", "f32", 7, 5, 11)[1:])
    print(f"{count} requests agree with the formulas in float64, so with each other; so do arrays from a file")
