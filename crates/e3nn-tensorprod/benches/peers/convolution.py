"""e3nn beside the crate: gather, TensorProduct, index_add, one request per line of standard input, one answer per line.

A request is "CASE PASS EDGES NODES DEGREE": see README.md. The answer is seconds of processor time and a digest of what came out.
"""
import sys
import time

import numpy as np
import torch
from e3nn import o3

torch.set_num_threads(int(sys.argv[1]))
MASK = np.uint64(0xFFFFFFFFFFFFFFFF)
CASES = {
    "mace-large": ("128x0e+128x1o+128x2e", 3, "0e+1o+2e+3o"),
    "nequip-32": ("32x0o+32x0e+32x1o+32x1e+32x2o+32x2e", 2, "0o+0e+1o+1e+2o+2e"),
}


def splitmix(seed, count):
    """Outputs 0.. of the SplitMix64 sequence with a seed."""
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniform(seed, rows, columns):
    odd = 2 * (splitmix(seed, rows * columns) >> np.uint64(40)).astype(np.int64) + 1 - (1 << 24)
    return torch.from_numpy((odd.astype(np.float32) * np.float32(2.0**-24)).reshape(rows, columns))


def product(irreps, lmax, targets):
    """NequIP's order of instructions."""
    irreps, sh, targets = o3.Irreps(irreps), o3.Irreps.spherical_harmonics(lmax), o3.Irreps(targets)
    slots, instructions = [], []
    for i, (mul, a) in enumerate(irreps):
        for j, (_, b) in enumerate(sh):
            for c in a * b:
                if c in targets:
                    instructions.append((i, j, len(slots), "uvu", True))
                    slots.append((mul, c))
    out, p, _ = o3.Irreps(slots).sort()
    instructions = [(i, j, p[k], m, t) for i, j, k, m, t in instructions]
    return o3.TensorProduct(irreps, sh, out, instructions, shared_weights=False, internal_weights=False)


class Problem:
    def __init__(self, case, nodes, degree):
        self.tp = product(*CASES[case])
        edges = nodes * degree
        self.nodes = nodes
        self.x = uniform(1, nodes, self.tp.irreps_in1.dim)
        self.y = uniform(2, edges, self.tp.irreps_in2.dim)
        self.w = uniform(3, edges, self.tp.weight_numel)
        source = (splitmix(4, edges) % np.uint64(nodes)).astype(np.int64)
        # Sorted by destination, then source: the order in which edges are numbered.
        self.source = torch.from_numpy(np.sort(source.reshape(nodes, degree), axis=1).reshape(-1))
        self.destination = torch.arange(edges) // degree
        self.tangents = [uniform(5 + i, *t.shape) for i, t in enumerate((self.x, self.y, self.w))]

    def convolve(self, x, y, w):
        messages = self.tp(x[self.source], y, w)
        out = torch.zeros(self.nodes, messages.shape[1])
        return out.index_add(0, self.destination, messages)

    def run(self, passes):
        inputs = [t.clone() for t in (self.x, self.y, self.w)]
        if passes == "forward":
            with torch.no_grad():
                start = time.process_time()
                out = self.convolve(*inputs)
                return time.process_time() - start, [out]
        inputs = [t.requires_grad_(True) for t in inputs]
        start = time.process_time()
        out = self.convolve(*inputs)
        energy = 0.5 * out.square().sum()
        if passes == "backward":
            grads = torch.autograd.grad(energy, inputs)
            return time.process_time() - start, grads
        grads = torch.autograd.grad(energy, inputs, create_graph=True)
        loss = sum((g * t).sum() for g, t in zip(grads, self.tangents))
        second = torch.autograd.grad(loss, [inputs[0], inputs[2]])
        return time.process_time() - start, second


problem, made = None, None
for line in sys.stdin:
    case, passes, nodes, degree = line.split()
    key = (case, nodes, degree)
    if key != made:
        problem, made = Problem(case, int(nodes), int(degree)), key
    seconds, results = problem.run(passes)
    digest = [f"{float(t.double().square().mean().sqrt()):.9e}" for t in results]
    print(f"{seconds:.9f}", *digest, flush=True)
