"""PyTorch's linear + cross-entropy, beside which `benches/peers.rs` times the crate.

    peers.py THREADS               answers one request per line of standard input
    peers.py THREADS --memory KIND PASS DTYPE N D V [PATH]
    peers.py --self-test           asserts that the kinds agree; the README defines requests and answers

A request is `KIND PASS DTYPE N D V [PATH]`; the answer is one line: seconds, loss, then sum, RMS and the product with
its own argument of the gradient of the hidden states, and the same of that of the classifier (NaN where there is none).
"""

import ctypes
import pathlib
import sys
import time

import torch
import torch.nn.functional as F
from inputs import IGNORE_INDEX, arrays, without_most

PASSES = ("forward", "train", "frozen", "ignored")


def unfused(hidden, weight, targets):
    """The logits in the dtype of the inputs, the loss in at least float32: what models do where nothing is fused."""
    logits = F.linear(hidden, weight)
    return F.cross_entropy(logits.float() if logits.dtype == torch.bfloat16 else logits, targets, ignore_index=IGNORE_INDEX)


def fused(rows):
    """PyTorch's chunked operation; with its own choice of chunk if `rows` is None."""
    chunk = {} if rows is None else dict(batch_chunk_size=rows, chunking_method=None)
    options = torch.nn.LinearCrossEntropyOptions(**chunk)

    def loss(hidden, weight, targets):
        return F.linear_cross_entropy(hidden, weight, targets, ignore_index=IGNORE_INDEX, options=options)

    return loss


def loss_of(kind):
    """`linear_ce`, `linear_ce_fused`, or `linear_ce_fused:ROWS` with chunks of that many rows."""
    name, _, rows = kind.partition(":")
    if name == "linear_ce_fused":
        return fused(int(rows) if rows else None)
    if kind == "linear_ce":
        return unfused
    raise ValueError(f"no such kind: {kind}")


def run(loss, mode, hidden, weight, targets):
    """Seconds and loss of one repetition; the gradients are left in the leaves."""
    hidden.requires_grad_(mode != "forward").grad = None
    weight.requires_grad_(mode in ("train", "ignored")).grad = None
    with torch.set_grad_enabled(mode != "forward"):
        start = time.perf_counter()
        value = loss(hidden, weight, targets)
        if mode != "forward":
            value.backward()
        return time.perf_counter() - start, value.item()


def digest(x):
    """Sum, RMS and product with x of its gradient, in float64, without a float64 copy of it."""
    if x.grad is None:
        return [float("nan")] * 3
    total = torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        for part, of in zip(x.grad.split(1024), x.split(1024)):
            part = part.double()
            total += torch.stack([part.sum(), part.square().sum(), (part * of.double()).sum()])
    total[1] = (total[1] / x.numel()).sqrt()
    return total.tolist()


class Peer:
    """Keeps the arrays of the last request, for the next repetition of it."""

    def __init__(self):
        self.key = None

    def prepare(self, mode, dtype, n, d, v, *path):
        """Hidden states, classifier and targets."""
        if mode not in PASSES:
            raise ValueError(f"no such pass: {mode}")
        key = (dtype, int(n), int(d), int(v), *path)
        if key != self.key:
            self.key = self.data = None
            self.data = arrays(*key)
            self.key = key
        hidden, weight, targets = self.data
        return hidden, weight, without_most(targets) if mode == "ignored" else targets

    def answer(self, kind, mode, *case):
        """One repetition: seconds, loss, digests."""
        hidden, weight, targets = self.prepare(mode, *case)
        seconds, value = run(loss_of(kind), mode, hidden, weight, targets)
        return [seconds, value, *digest(hidden), *digest(weight)]


def status(field):
    """A figure of /proc/self/status, in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}: this needs Linux")


def memory(kind, mode, *case):
    """Bytes resident before one repetition, at its peak, their difference, and of the gradients within it."""
    peer, loss = Peer(), loss_of(kind)
    # Libraries, threads and scratch of the matrix products exist before the measurement.
    run(loss, mode, *Peer().prepare(mode, case[0], 64, 64, 128))
    inputs = peer.prepare(mode, *case)
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    run(loss, mode, *inputs)
    peak = status("VmHWM")
    grads = sum(x.grad.nbytes for x in inputs[:2] if x.grad is not None)
    return before, peak, peak - before, grads


def main():
    if sys.argv[1:] == ["--self-test"]:
        import selftest

        torch.set_num_threads(2)
        return selftest.run()
    torch.set_num_threads(int(sys.argv[1]))
    if sys.argv[2:3] == ["--memory"]:
        return print(*memory(*sys.argv[3:]))
    peer = Peer()
    for line in sys.stdin:
        print(*peer.answer(*line.split()), flush=True)


if __name__ == "__main__":
    main()
