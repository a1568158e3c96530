"""Times the peers of `benches/spherical_harmonics.rs`, one measurement per line of standard input.

Each line is `LIBRARY DTYPE LMAX POINTS PASS`; the answer is the seconds of the
shortest of 20 calls. LIBRARY is `sphericart`
(SolidHarmonics: `compute` or `compute_with_gradients` for PASS `forward` or `gradients`) or `e3nn`
(o3.spherical_harmonics, component, solid; `gradients` adds the backward pass for one cotangent). Inputs are standard
normal. Versions used for the published figures: sphericart 2.0.4, e3nn 0.6.0, torch 2.15.0 (CPU), numpy 2.4.6.

    python -m venv peers && peers/bin/pip install sphericart==2.0.4 e3nn==0.6.0 torch==2.15.0 numpy==2.4.6
    PEER_PYTHON=peers/bin/python RAYON_NUM_THREADS=1 cargo bench -p e3nn-tensorprod --bench spherical_harmonics
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = sys.argv[1]

import numpy as np
import sphericart
import torch
from e3nn import o3

torch.set_num_threads(int(sys.argv[1]))


def make(library, dtype, lmax, points, what):
    xyz = np.random.default_rng(0).normal(size=(points, 3)).astype(dtype)
    if library == "sphericart":
        harmonics = sphericart.SolidHarmonics(lmax)
        run = harmonics.compute if what == "forward" else harmonics.compute_with_gradients
        return lambda: run(xyz)
    x = torch.tensor(xyz, requires_grad=what == "gradients")
    degrees = list(range(lmax + 1))
    cotangent = torch.ones(points, (lmax + 1) ** 2, dtype=x.dtype)

    def run():
        y = o3.spherical_harmonics(degrees, x, False, "component")
        if what == "gradients":
            torch.autograd.grad(y, x, cotangent)

    return run


cases = {}
for line in sys.stdin:
    library, dtype, lmax, points, what = line.split()
    key = library, dtype, int(lmax), int(points), what
    if key not in cases:
        cases[key] = make(*key)
        cases[key]()
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        cases[key]()
        best = min(best, time.perf_counter() - start)
    print(best, flush=True)
