"""Convolutions of e3nn, OpenEquivariance and cuEquivariance on a CUDA card, on the problems of `convolution.rs` with random
arrays: see README.md.

`python convolution_gpu.py [NODES DEGREE ROUNDS]`. Times are those between CUDA events, median of the rounds after two that
do not count; a peer that does not import, or fails, is a line that says why.
"""
import os
import sys
import time

import numpy as np
import torch

sys.argv, (NODES, DEGREE, ROUNDS) = [sys.argv[0], "1"], [int(x) for x in sys.argv[1:4]] or [3200, 50, 10]
sys.stdin = open(os.devnull)
from convolution import CASES, product  # noqa: E402  (it reads the number of threads and its requests when imported)

torch.backends.cuda.matmul.allow_tf32 = False


def copy_rate():
    """Bytes per second that a large tensor is read and written at."""
    x = torch.rand(1 << 28, device="cuda")
    return 8 * x.numel() / seconds(lambda: torch.mul(x, 1.5))


def seconds(f):
    times = []
    for round_ in range(ROUNDS + 2):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        out = f()
        stop.record()
        torch.cuda.synchronize()
        del out
        if round_ > 1:
            times.append(start.elapsed_time(stop) / 1e3)
    return float(np.median(times))


class Problem:
    """A graph of nodes that the same number of edges arrive at, and uniform arrays."""

    def __init__(self, case, nodes):
        tp, edges = product(*CASES[case]), nodes * DEGREE
        self.nodes = nodes
        self.source = torch.randint(nodes, (nodes, DEGREE), device="cuda").sort(dim=1).values.reshape(-1)
        self.destination = torch.arange(edges, device="cuda") // DEGREE
        shapes = [(nodes, tp.irreps_in1.dim), (edges, tp.irreps_in2.dim), (edges, tp.weight_numel)]
        self.inputs, self.tangents = ([2 * torch.rand(s, device="cuda") - 1 for s in shapes] for _ in range(2))


class E3nn:
    """Gather, `o3.TensorProduct`, `index_add`."""

    def __init__(self, case, compiled=False):
        self.tp = product(*CASES[case]).cuda()
        if compiled:
            self.tp = torch.compile(self.tp)

    def __call__(self, x, y, w, g):
        messages = self.tp(x[g.source], y, w)
        return torch.zeros(g.nodes, messages.shape[1], device="cuda").index_add(0, g.destination, messages)


class Oeq:
    """`openequivariance.TensorProductConv`."""

    def __init__(self, case, deterministic, layout):
        import openequivariance as oeq

        tp = product(*CASES[case])
        steps = [(i.i_in1, i.i_in2, i.i_out, "uvu", True) for i in tp.instructions]
        irreps = [oeq.Irreps(str(x)) for x in (tp.irreps_in1, tp.irreps_in2, tp.irreps_out)]
        problem = oeq.TPProblem(*irreps, steps, shared_weights=False, internal_weights=False, layout=layout)
        self.conv, self.deterministic = oeq.TensorProductConv(problem, deterministic=deterministic), deterministic

    def weights(self, w):
        return self.conv.reorder_weights_from_e3nn(w)

    def __call__(self, x, y, w, g):
        if not self.deterministic:
            return self.conv(x, y, w, g.destination, g.source)
        if not hasattr(g, "permutation"):
            g.permutation = torch.argsort(g.source * g.nodes + g.destination, stable=True)
        return self.conv(x, y, w, g.destination, g.source, g.permutation)


class Cue:
    """The channel-wise product of cuEquivariance with gather and sum fused in, as MACE calls it."""

    def __init__(self, case):
        import cuequivariance as cue
        import cuequivariance_torch as cuet

        irreps, lmax, targets = CASES[case]
        harmonics = "+".join(f"{l}{'oe'[(l + 1) % 2]}" for l in range(lmax + 1))
        product_ = cue.descriptors.channelwise_tensor_product(
            cue.Irreps(cue.O3, irreps), cue.Irreps(cue.O3, harmonics), cue.Irreps(cue.O3, targets)
        )
        polynomial = product_.flatten_coefficient_modes().squeeze_modes().polynomial
        self.conv = cuet.SegmentedPolynomial(polynomial, math_dtype=torch.float32, method="uniform_1d").cuda()
        if self.conv.method != "uniform_1d":
            raise RuntimeError("cuequivariance_ops_torch is not there")

    def __call__(self, x, y, w, g):
        return self.conv([w, x, y], {1: g.source}, {0: x}, {0: g.destination})[0]


def passes(f, inputs, tangents, g):
    def forward():
        with torch.no_grad():
            return f(*inputs, g)

    def train(double=False):
        x = [t.detach().requires_grad_(True) for t in inputs]
        energy = 0.5 * f(*x, g).square().sum()
        return x, torch.autograd.grad(energy, x, create_graph=double)

    def force():
        x, grads = train(double=True)
        loss = sum((a * b).sum() for a, b in zip(grads, tangents))
        return torch.autograd.grad(loss, [x[0], x[2]])

    return {"forward": forward, "backward": lambda: train()[1], "force": force}


def rms(tensors):
    tensors = [tensors] if torch.is_tensor(tensors) else tensors
    return " ".join(f"{float(t.double().square().mean().sqrt()):.6f}" for t in tensors)


def measure(case, name, make, nodes):
    try:
        torch.manual_seed(0)
        f, g = make(case), Problem(case, nodes)
        inputs, tangents = g.inputs, g.tangents
        if hasattr(f, "weights"):
            inputs[2], tangents[2] = f.weights(inputs[2]), f.weights(tangents[2])
    except Exception as error:
        print(f"| {case} | all | {name} | {type(error).__name__}: {str(error)[:90]!r} | | | |", flush=True)
        return
    for pass_, run in passes(f, inputs, tangents, g).items():
        try:
            start = time.time()
            digest = rms(run())
            first = time.time() - start
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
            t, peak = seconds(run), torch.cuda.max_memory_allocated() - held
            per_edge = 1e9 * t / (nodes * DEGREE)
            print(f"| {case} | {pass_} | {name}, {nodes} nodes | {per_edge:.3f} | {peak / 1e6:.0f} | {first:.1f} | {digest} |", flush=True)
        except Exception as error:
            print(f"| {case} | {pass_} | {name} | {type(error).__name__}: {str(error)[:90]!r} | | | |", flush=True)
            torch.cuda.empty_cache()


print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, copy {copy_rate() / 1e9:.0f} GB/s, degree {DEGREE}\n")
print("| case | pass | peer | ns/edge | MB beside inputs | first call, s | root mean squares |\n|---|---|---|---|---|---|---|")
only = os.environ.get("ONLY", "")
for case in CASES:
    for name, make, nodes in [
        ("OpenEquivariance, ordered", lambda c: Oeq(c, True, "ir_mul"), NODES),
        ("OpenEquivariance, atomics", lambda c: Oeq(c, False, "ir_mul"), NODES),
        ("OpenEquivariance, ordered, mul_ir", lambda c: Oeq(c, True, "mul_ir"), NODES),
        ("cuEquivariance", Cue, NODES),
        # Of what edges × outputs leave room for.
        ("e3nn", E3nn, max(1, NODES // 4)),
    ]:
        if only in f"{case} {name}":
            measure(case, name, make, nodes)
            torch.cuda.empty_cache()
