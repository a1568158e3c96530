"""Times the PyTorch peers of `benches/peers.rs`, one measurement per line of standard input.

Each line is `KIND PASS BATCH TIME WIDTH`; the answer is the seconds that it took. KIND is
`op` (minGRU-pytorch's chain from pre-activations to states), `layer` (its whole layer, without bias
and expansion) or `gru` (torch.nn.GRU of equal width); PASS is `forward` or `train`
(forward and backward). Versions used for the published figures: torch 2.15.0 (CPU), minGRU-pytorch 0.2.1.

    python -m venv peers && peers/bin/pip install torch minGRU-pytorch==0.2.1
    PEER_PYTHON=peers/bin/python cargo bench -p seq-rnn-parallel-scan --bench peers
"""

import sys
import time

import torch
import torch.nn.functional as F
from minGRU_pytorch.minGRU import heinsen_associative_scan_log, log_g, minGRU

torch.set_num_threads(int(sys.argv[1]))


def make(kind, batch, steps, width):
    """A function from nothing to the output, and the tensors that get gradients."""
    torch.manual_seed(0)
    if kind == "op":
        hidden = torch.randn(batch, steps, width, requires_grad=True)
        gate = torch.randn(batch, steps, width, requires_grad=True)

        def run():
            # The forward of minGRU_pytorch.minGRU between its projection and its output.
            log_coeffs = -F.softplus(gate)
            log_values = -F.softplus(-gate) + log_g(hidden)
            return heinsen_associative_scan_log(log_coeffs, log_values)

        return run, [hidden, gate]
    x = torch.randn(batch, steps, width, requires_grad=True)
    if kind == "layer":
        layer = minGRU(width)
        return (lambda: layer(x)), [x, *layer.parameters()]
    layer = torch.nn.GRU(width, width, batch_first=True)
    return (lambda: layer(x)[0]), [x, *layer.parameters()]


cases = {}
for line in sys.stdin:
    kind, mode, *shape = line.split()
    shape = tuple(map(int, shape))
    if (kind, *shape) not in cases:
        cases.clear()
        cases[kind, *shape] = make(kind, *shape)
    run, leaves = cases[kind, *shape]
    if mode == "forward":
        with torch.no_grad():
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
    else:
        for leaf in leaves:
            leaf.grad = None
        start = time.perf_counter()
        y = run()
        y.backward(torch.ones_like(y))
        seconds = time.perf_counter() - start
    print(seconds, flush=True)
