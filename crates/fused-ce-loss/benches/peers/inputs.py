"""The arrays of a benchmark case: drawn by a generator that Rust repeats bit for bit, or read from a file.

The README beside this file defines the generator; `selftest.py` pins its first values.
"""

import numpy as np
import torch
from safetensors import safe_open

GAMMA = np.uint64(0x9E3779B97F4A7C15)
HIDDEN, WEIGHT, TARGETS, IGNORED = 1, 2, 3, 4
IGNORE_INDEX = -100
# Logits of deviation 2: hidden and weight are uniform, of variance 36 / 3 and 1 / (3 D).
HIDDEN_SCALE = 6.0
BLOCK = 1 << 20


def splitmix(seed, first, count):
    """Outputs `first` to `first + count` of the SplitMix64 sequence that starts at `seed`."""
    with np.errstate(over="ignore"):
        x = np.arange(first + 1, first + count + 1, dtype=np.uint64) * GAMMA + np.uint64(seed)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def uniform(seed, rows, columns, scale):
    """A float32 matrix, uniform on (−scale, scale)."""
    out = np.empty(rows * columns, np.float32)
    for first in range(0, out.size, BLOCK):
        part = out[first : first + BLOCK]
        # Odd integers below 2²⁴ in magnitude: exact in float32, symmetric about zero.
        odd = (splitmix(seed, first, part.size) >> np.uint64(40)).astype(np.int32) * 2 + (1 - (1 << 24))
        np.multiply(odd.astype(np.float32), np.float32(2.0**-24), out=part)
        part *= np.float32(scale)
    return torch.from_numpy(out.reshape(rows, columns))


def generated(n, d, v):
    """Hidden states [N, D], classifier [V, D] and targets [N]."""
    targets = (splitmix(TARGETS, 0, n) % np.uint64(v)).astype(np.int64)
    hidden = uniform(HIDDEN, n, d, HIDDEN_SCALE)
    return hidden, uniform(WEIGHT, v, d, 1 / np.sqrt(np.float64(d))), torch.from_numpy(targets)


def stored(path, n, d, v):
    """The first N rows of a file with the keys hidden, weight, targets."""
    with safe_open(path, "pt") as file:
        hidden, weight = file.get_slice("hidden")[:n].float(), file.get_tensor("weight").float()
        targets = file.get_slice("targets")[:n].long()
    if (hidden.shape, weight.shape, targets.shape) != ((n, d), (v, d), (n,)):
        raise ValueError(f"{path} does not hold {n} rows of {d}, {v} classes")
    return hidden, weight, targets


def without_most(targets):
    """The targets with about 80 % of them ignored."""
    drop = splitmix(IGNORED, 0, len(targets)) % np.uint64(5) != 0
    return torch.where(torch.from_numpy(drop), IGNORE_INDEX, targets)


def arrays(dtype, n, d, v, path=None):
    """Hidden states and classifier in `dtype`, rounded to nearest even, and int64 targets."""
    hidden, weight, targets = stored(path, n, d, v) if path else generated(n, d, v)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16, "f64": torch.float64}[dtype]
    return hidden.to(kind), weight.to(kind), targets
