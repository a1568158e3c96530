"""Scans and recurrent layers of PyTorch and Triton on a GPU: what `GPU=1 cargo bench --bench scan` is to be seen beside.

    python gpu.py [--only TEXT] [--seconds 55]
    TRITON_INTERPRET=1 python gpu.py --device cpu --tiny

Optional peers are used where they can be imported: accelerated-scan, fla-core (flash-linear-attention), minGRU-pytorch.
Bytes are the least that a pass moves; `train` is forward and backward from a given cotangent. What fails says why, and the
rest goes on.
"""

import argparse
import functools
import importlib
import os
import statistics
import time

import torch
import torch.nn.functional as F

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

SHAPES = [(8, 4096, 1024), (64, 512, 1024), (4, 16384, 512), (1, 65536, 512), (32, 2048, 2048)]
TINY = [(2, 150, 20), (1, 64, 16)]

if triton is not None:

    @triton.jit
    def _combine(a, b, c, d):
        return a * c, b * c + d

    @triton.jit
    def _g(v):
        return tl.where(v >= 0, v + 0.5, tl.sigmoid(v))

    @triton.jit
    def _forward(a_ptr, b_ptr, h_ptr, steps, width, row, GATES: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr):
        """A program per sequence and BC channels, over tiles of BT steps; rows of the inputs are `row` values apart."""
        entry = tl.program_id(1).to(tl.int64)
        column = tl.program_id(0) * BC + tl.arange(0, BC)[None, :]
        carry = tl.zeros((1, BC), tl.float32)
        for first in tl.range(0, steps, BT, num_stages=3):
            t = first + tl.arange(0, BT)[:, None]
            inside = (t < steps) & (column < width)
            place = (entry * steps + t) * row + column
            x = tl.load(a_ptr + place, inside, 0.0).to(tl.float32)
            y = tl.load(b_ptr + place, inside, 0.0).to(tl.float32)
            if GATES:
                a, b = tl.sigmoid(-x), tl.sigmoid(x) * _g(y)
            else:
                a, b = x, y
            a, b = tl.associative_scan((a, b), 0, _combine)
            h = a * carry + b
            tl.store(h_ptr + (entry * steps + t) * width + column, h.to(h_ptr.dtype.element_ty), inside)
            last = tl.arange(0, BT)[:, None] == BT - 1
            carry = tl.sum(tl.where(last, h, 0.0), 0, keep_dims=True)

    @triton.jit
    def _backward(a_ptr, b_ptr, h_ptr, g_ptr, da_ptr, db_ptr, steps, width, row, GATES: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr):
        """`s_t = g_t + a_{t+1} s_{t+1}`, tiles from the last to the first."""
        entry = tl.program_id(1).to(tl.int64)
        column = tl.program_id(0) * BC + tl.arange(0, BC)[None, :]
        carry = tl.zeros((1, BC), tl.float32)
        tiles = tl.cdiv(steps, BT)
        for tile in tl.range(0, tiles, num_stages=3):
            t = (tiles - 1 - tile) * BT + tl.arange(0, BT)[:, None]
            inside = (t < steps) & (column < width)
            after = (t + 1 < steps) & (column < width)
            before = inside & (t > 0)
            place = (entry * steps + t) * row + column
            own = (entry * steps + t) * width + column
            next_x = tl.load(a_ptr + place + row, after, 0.0).to(tl.float32)
            g = tl.load(g_ptr + own, inside, 0.0).to(tl.float32)
            h = tl.load(h_ptr + own - width, before, 0.0).to(tl.float32)
            if GATES:
                keep = tl.where(after, tl.sigmoid(-next_x), 0.0)
            else:
                keep = next_x
            keep, s = tl.associative_scan((keep, g), 0, _combine, reverse=True)
            s = keep * carry + s
            if GATES:
                k = tl.load(a_ptr + place, inside, 0.0).to(tl.float32)
                v = tl.load(b_ptr + place, inside, 0.0).to(tl.float32)
                z = tl.sigmoid(k)
                da = s * z * tl.sigmoid(-k) * (_g(v) - h)
                slope = tl.where(v >= 0, 1.0, tl.sigmoid(v) * tl.sigmoid(-v))
                db = s * z * slope
            else:
                da, db = s * h, s
            tl.store(da_ptr + place, da.to(da_ptr.dtype.element_ty), inside)
            tl.store(db_ptr + place, db.to(db_ptr.dtype.element_ty), inside)
            first = tl.arange(0, BT)[:, None] == 0
            carry = tl.sum(tl.where(first, s, 0.0), 0, keep_dims=True)


class Triton(torch.autograd.Function):
    """The linear scan of two tensors, or minGRU from one of packed pre-activations."""

    CONFIGS = [dict(BT=bt, BC=bc, num_warps=w) for bt, bc, w in ((64, 32, 4), (32, 64, 4), (256, 16, 8))]
    config = CONFIGS[0]

    @staticmethod
    def _parts(x, gates):
        if gates:
            width = x[0].shape[2] // 2
            return x[0], x[0][:, :, width:], width, 2 * width
        return x[0], x[1], x[0].shape[2], x[0].shape[2]

    @staticmethod
    def forward(ctx, gates, *x):
        a, b, width, row = Triton._parts(x, gates)
        batch, steps, _ = a.shape
        h = torch.empty(batch, steps, width, dtype=a.dtype, device=a.device)
        grid = (triton.cdiv(width, Triton.config["BC"]), batch)
        _forward[grid](a, b, h, steps, width, row, GATES=gates, **Triton.config)
        ctx.gates = gates
        ctx.save_for_backward(h, *x)
        return h

    @staticmethod
    def backward(ctx, g):
        h, *x = ctx.saved_tensors
        a, b, width, row = Triton._parts(x, ctx.gates)
        batch, steps, _ = a.shape
        grads = [torch.empty_like(t) for t in x]
        da, db, _, _ = Triton._parts(grads, ctx.gates)
        grid = (triton.cdiv(width, Triton.config["BC"]), batch)
        _backward[grid](a, b, h, g.contiguous(), da, db, steps, width, row, GATES=ctx.gates, **Triton.config)
        return None, *grads


def reference(a, b):
    """Step by step in f64 on the CPU."""
    a, b = a.double().cpu(), b.double().cpu()
    h, states = torch.zeros_like(b[:, 0]), []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


def gates_of(x):
    """Forget factors and inputs of minGRU with the candidate g, from packed pre-activations."""
    k, v = x.chunk(2, -1)
    return torch.sigmoid(-k), torch.sigmoid(k) * torch.where(v >= 0, v + 0.5, torch.sigmoid(v))


def log_space(x):
    """The same in log space: the parallel form of arXiv 2410.01201, Appendix B, from the state 0."""
    k, v = x.chunk(2, -1)
    log_a = -F.softplus(k)
    log_b = -F.softplus(-k) + torch.where(v >= 0, (F.relu(v) + 0.5).log(), -F.softplus(-v))
    sums = log_a.cumsum(1)
    return (sums + (log_b - sums).logcumsumexp(1)).exp()


def check_gradients(device):
    """The gradients of the Triton kernels beside those of PyTorch's autodiff in f64, over several tiles."""
    torch.manual_seed(1)
    for gates in (False, True):
        shape = (2, 150, 20)
        leaves = [torch.randn(*shape[:2], 40, device=device)] if gates else [torch.randn(*shape, device=device) for _ in range(2)]
        if not gates:
            leaves[0] = torch.tanh(leaves[0])
        grad = torch.randn(*shape, device=device)
        exact = [t.double().cpu().requires_grad_() for t in leaves]
        a, b = gates_of(exact[0]) if gates else exact
        h, states = torch.zeros_like(b[:, 0]), []
        for t in range(shape[1]):
            h = a[:, t] * h + b[:, t]
            states.append(h)
        torch.stack(states, 1).backward(grad.double().cpu())
        leaves = [t.requires_grad_() for t in leaves]
        Triton.apply(gates, *leaves).backward(grad)
        for got, want in zip(leaves, exact):
            error = (got.grad.double().cpu() - want.grad).abs().max() / want.grad.abs().max()
            assert error < 1e-5, f"gradient off by {error:.1e}"


def tune(bench, shape):
    """The fastest tile of those that are right, for the forward scan in f32."""
    best = None
    a, b = (torch.rand(*shape, device=bench.device) for _ in range(2))
    for config in Triton.CONFIGS[: 1 if bench.options.tiny else None]:
        Triton.config = config
        try:
            if config not in bench.checked:
                check_gradients(bench.device)
                bench.checked.append(config)
            seconds = bench.seconds(lambda: Triton.apply(False, a, b))
        except Exception as why:
            print(f"tile {config}: {type(why).__name__}: {(str(why).splitlines() or [''])[0][:160]}")
            continue
        if best is None or seconds < best[0]:
            best = seconds, config
    assert best, "no tile of the Triton kernels is right"
    Triton.config = best[1]
    return best[1]


def optional(name, attribute):
    try:
        return getattr(importlib.import_module(name), attribute)
    except Exception as why:
        print(f"absent: {name} ({type(why).__name__}: {str(why).splitlines()[0] if str(why) else ''})")
        return None


class Bench:
    def __init__(self, options):
        self.options = options
        self.device = options.device
        self.cuda = options.device == "cuda"
        self.end = time.perf_counter() + options.seconds
        self.copy = float("nan")
        self.left_out = []
        self.checked = []

    def out_of_time(self, what):
        if time.perf_counter() > self.end:
            self.left_out.append(what)
            return True
        return False

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, call):
        """Median of single calls after a warm-up, as many as take a tenth of a second, three to twenty; long ones once."""
        for _ in range(2):
            self.sync()
            start = time.perf_counter()
            call()
            self.sync()
            once = time.perf_counter() - start
            if once > 3:
                return once
        if once > 0.5 or self.options.tiny:
            return once
        rounds = max(3, min(20, int(0.1 / once)))
        if not self.cuda:
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            return statistics.median(times)
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(rounds)]
        for start, end in events:
            start.record()
            call()
            end.record()
        self.sync()
        return statistics.median(start.elapsed_time(end) for start, end in events) / 1e3

    def line(self, name, dtype, shape, mode, make, values, check=None):
        """`make` returns a call; `values` per state are moved at least, or None for a layer."""
        what = f"{name} {dtype} {shape} {mode}"
        if self.options.only not in what:
            return
        if self.out_of_time(what):
            return
        head = f"| {name} | {str(dtype).removeprefix('torch.')} | {' × '.join(map(str, shape))} | {mode} |"
        try:
            call = make()
            error = check(call()) if check else None
            seconds = self.seconds(call)
            if values is None:
                print(f"{head} {1e3 * seconds:.3f} | | | |", flush=True)
                return
            batch, steps, width = shape
            rate = values * batch * steps * width * dtype.itemsize / seconds
            share = f"{100 * rate / self.copy:.0f} %"
            error = "" if error is None else f"{error:.1e}"
            print(f"{head} {1e3 * seconds:.3f} | {rate / 1e9:.0f} | {share} | {error} |", flush=True)
        except Exception as why:
            text = str(why).strip().splitlines() or [""]
            print(f"{head} failed: {type(why).__name__}: {text[0][:160]} | | | |", flush=True)
        finally:
            if self.cuda:
                torch.cuda.empty_cache()


def copies(bench):
    size = 1 << (16 if bench.options.tiny else 28)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(size, device=bench.device).to(dtype)
        y = torch.empty_like(x)
        for name, call in (("copy_", lambda: y.copy_(x)), ("x * 1.5", lambda: torch.mul(x, 1.5, out=y))):
            rate = 2 * size * dtype.itemsize / bench.seconds(call)
            print(f"{name}, {str(dtype).removeprefix('torch.')}: {rate / 1e9:.0f} GB/s")
            if dtype == torch.float32:
                bench.copy = rate
    print()


def off(want, entry, channels):
    """A check of states in some channels of one batch entry."""

    def check(h):
        got = h.detach()[entry : entry + 1, :, :channels].double().cpu()
        error = (got - want).abs().max() / want.abs().max()
        bound = 2e-2 if h.dtype == torch.bfloat16 else 1e-3
        assert error <= bound, f"off by {error:.1e}"
        return error.item()

    return check


def scans(bench, peers, tiles):
    """The peers at every shape."""
    shapes = TINY if bench.options.tiny else SHAPES
    for dtype in (torch.float32, torch.bfloat16):
        for shape in shapes:
            # Nothing is made for what is not asked for.
            if bench.out_of_time(f"scans {dtype} {shape}"):
                continue
            if shape in tiles:
                Triton.config = tiles[shape]
            batch, steps, width = shape
            rand = lambda *size: torch.randn(*size, device=bench.device)
            a = (2 * torch.rand(*shape, device=bench.device) - 1).to(dtype)
            b, x, g = rand(*shape).to(dtype), rand(batch, steps, 2 * width).to(dtype), rand(*shape).to(dtype)
            # Few steps of few channels: the reference takes them one by one.
            seen = min(steps, 512)
            part = lambda t: t[batch - 1 :, :seen]
            want = reference(part(a)[..., :4], part(b)[..., :4])
            want_gru = reference(*(t[..., :4] for t in gates_of(part(x).double())))
            check = lambda w: (lambda h: off(w, batch - 1, 4)(h[:, :seen]))

            def both(name, function, inputs, expected, dtype=dtype, shape=shape, grad=g, turned=False):
                wanted = check(expected)
                if turned:
                    wanted = lambda h: check(expected)(h.transpose(1, 2))

                def forward():
                    def call():
                        with torch.no_grad():
                            return function(*inputs)

                    return call

                def train():
                    leaves = [t.detach().requires_grad_() for t in inputs]

                    def call():
                        for leaf in leaves:
                            leaf.grad = None
                        h = function(*leaves)
                        h.backward(grad)
                        return h

                    return call

                bench.line(name, dtype, shape, "forward", forward, 3, wanted)
                bench.line(name, dtype, shape, "train", train, 9, wanted)

            if shape in tiles:
                both("linear scan, Triton", lambda a, b: Triton.apply(False, a, b), (a, b), want)
                both("minGRU fused, Triton", lambda x: Triton.apply(True, x), (x,), want_gru)
            hgrn, chunk_hgrn, accelerated = (peers.get(name) for name in ("hgrn", "chunk_hgrn", "accelerated"))
            positive = a.abs().clamp_min(1e-3)
            log_a = positive.float().log().to(dtype)
            # Positive factors only; in bf16 their logarithms are rounded.
            exact = reference(part(log_a.double().exp())[..., :4], part(b)[..., :4])
            if hgrn:
                both("fla fused_recurrent_hgrn", lambda x, g: hgrn(x, g)[0], (b, log_a), exact)
            if chunk_hgrn:
                both("fla chunk_hgrn", lambda x, g: chunk_hgrn(x, g)[0], (b, log_a), exact)
            if accelerated:
                # Its layout is [batch, channels, time]; the transposition is not timed.
                inputs = [t.transpose(1, 2).contiguous() for t in (a, b, g)]
                name = "accelerated-scan, Triton, [B, C, T]"
                both(name, accelerated, inputs[:2], want, grad=inputs[2], turned=True)
            heinsen, log_g = peers.get("heinsen"), peers.get("log_g")
            chain, name = log_space, "minGRU in log space, eager"
            if heinsen and log_g:
                name = "minGRU-pytorch, chain"

                def chain(x):
                    gate, hidden = x.chunk(2, -1)
                    return heinsen(-F.softplus(gate), -F.softplus(-gate) + log_g(hidden))

            # In bf16 its sums of logarithms are too coarse to be a number.
            if dtype == torch.float32 and not hgrn:
                both(name, chain, (x,), want_gru)
            del a, b, x, g, positive, log_a


def layers(bench):
    """Recurrent layers of equal width in and out, cuDNN's on a GPU."""

    def make(kind, dtype, shape, train):
        layer = kind(shape[2], shape[2], batch_first=True).to(bench.device, dtype)
        x = torch.randn(*shape, device=bench.device).to(dtype).requires_grad_(train)
        grad = torch.randn_like(x)

        def call():
            if not train:
                with torch.no_grad():
                    return layer(x)[0]
            x.grad = None
            layer.zero_grad(set_to_none=True)
            y = layer(x)[0]
            y.backward(grad)
            return y

        return call

    # The longest last: 65,536 steps one after the other.
    for shape in sorted(TINY if bench.options.tiny else SHAPES, key=lambda s: s[1]):
        for dtype in (torch.float32, torch.bfloat16):
            for kind in (torch.nn.GRU, torch.nn.LSTM):
                for mode in ("forward", "train"):
                    call = functools.partial(make, kind, dtype, shape, mode == "train")
                    bench.line(f"nn.{kind.__name__} layer", dtype, shape, mode, call, None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=55, help="after which no new line is begun")
    bench = Bench(parser.parse_args())
    torch.manual_seed(0)
    start = time.perf_counter()
    name = torch.cuda.get_device_name() if bench.cuda else "cpu"
    print(f"{name}, torch {torch.__version__}, triton {getattr(triton, '__version__', 'absent')}, TF32 off")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    peers = dict(
        hgrn=optional("fla.ops.hgrn", "fused_recurrent_hgrn"),
        chunk_hgrn=optional("fla.ops.hgrn", "chunk_hgrn"),
        accelerated=optional("accelerated_scan.scalar", "scan"),
        heinsen=optional("minGRU_pytorch.minGRU", "heinsen_associative_scan_log"),
        log_g=optional("minGRU_pytorch.minGRU", "log_g"),
    )
    print(f"imports: {time.perf_counter() - start:.1f} s\n")
    copies(bench)
    tiles = {}
    if triton is not None and (bench.cuda or os.environ.get("TRITON_INTERPRET") == "1"):
        for shape in TINY if bench.options.tiny else SHAPES:
            try:
                tiles[shape] = tune(bench, shape)
                print(f"Triton, {' × '.join(map(str, shape))}: {tiles[shape]}")
            except Exception as why:
                print(f"Triton, {shape}: {type(why).__name__}: {why}")
    print("\n| peer | dtype | batch × time × channels | pass | ms | GB/s | of a copy | error |")
    print("|---|---|---|---|---|---|---|---|")
    late = {name: peers.pop(name) for name in ("hgrn", "chunk_hgrn")}
    scans(bench, peers, tiles)
    layers(bench)
    # Last, as their kernels are tuned for every width.
    if late["hgrn"]:
        scans(bench, late, {})
    if bench.left_out:
        print(f"\nno time left for {len(bench.left_out)} lines: {'; '.join(bench.left_out)}")
    print(f"\n{time.perf_counter() - start:.1f} s in all")


if __name__ == "__main__":
    main()
