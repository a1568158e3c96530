"""Times e3nn for `benches/products.rs`, one measurement per line of standard input.

Each line is `CASE PASS BATCH`; the answer is the processor time in seconds. PASS is `forward`, `train` (forward and
backward, gradients of all inputs and weights) or `force` (the gradient of a function of the gradient of the first
input, as training on forces takes it). Versions used for the published figures: e3nn 0.6.0, torch 2.15.0 (CPU).

    python -m venv peers && peers/bin/pip install torch e3nn==0.6.0
    PEER_PYTHON=peers/bin/python cargo bench -p e3nn-tensorprod --bench products
"""

import sys
import time

import torch
from e3nn import o3

torch.set_num_threads(int(sys.argv[1]))

CASES = {
    "fctp": ("32x0e+16x1o+8x2e", "1x0e+1x1o+1x2e", "32x0e+16x1o+8x2e"),
    "fctp-wide": ("16x0e+16x1o", "16x0e+16x1o", "16x0e+16x1o"),
    "depthwise": ("32x0e+32x1o+32x2e", "1x0e+1x1o+1x2e", None),
    "square": ("16x0e+16x1o+8x2e", None, "16x0e+16x1o+8x2e"),
    "linear": ("128x0e+128x1o+128x2e", None, "128x0e+128x1o+128x2e"),
    "linear-32": ("32x0e+32x1o+32x2e", None, "32x0e+32x1o+32x2e"),
}


def depthwise(features, harmonics):
    features, harmonics = o3.Irreps(features), o3.Irreps(harmonics)
    out, instructions = [], []
    for i, (mul, a) in enumerate(features):
        for j, (_, b) in enumerate(harmonics):
            for c in a * b:
                if c in features:
                    instructions.append((i, j, len(out), "uvu", True))
                    out.append((mul, c))
    out, p, _ = o3.Irreps(out).sort()
    instructions = [(i, j, p[k], mode, train) for i, j, k, mode, train in instructions]
    return o3.TensorProduct(features, harmonics, out, instructions, shared_weights=False, internal_weights=False)


def make(case, batch):
    """A function of the tensors that get gradients, and these; the first is the first input."""
    torch.manual_seed(0)
    a, b, c = CASES[case]
    x = o3.Irreps(a).randn(batch, -1).requires_grad_()
    if case == "square":
        layer = o3.TensorSquare(a, c, internal_weights=False, shared_weights=True)
        w = torch.randn(layer.weight_numel, requires_grad=True)
        return layer, [x, w]
    if case.startswith("linear"):
        layer = o3.Linear(a, c, internal_weights=False, shared_weights=True)
        w = torch.randn(layer.weight_numel, requires_grad=True)
        return layer, [x, w]
    y = o3.Irreps(b).randn(batch, -1).requires_grad_()
    if case == "depthwise":
        layer = depthwise(a, b)
        w = torch.randn(batch, layer.weight_numel, requires_grad=True)
    else:
        layer = o3.FullyConnectedTensorProduct(a, b, c, internal_weights=False, shared_weights=True)
        w = torch.randn(layer.weight_numel, requires_grad=True)
    return layer, [x, y, w]


cases = {}
for line in sys.stdin:
    case, mode, batch = line.split()
    key = (case, int(batch))
    if key not in cases:
        cases.clear()
        cases[key] = make(*key)
    run, tensors = cases[key]
    for t in tensors:
        t.grad = None
    start = time.process_time()
    if mode == "forward":
        with torch.no_grad():
            run(*tensors)
    elif mode == "train":
        run(*tensors).square().sum().backward()
    else:
        force = torch.autograd.grad(run(*tensors).square().sum(), tensors[0], create_graph=True)[0]
        force.square().sum().backward()
    print(time.process_time() - start, flush=True)
