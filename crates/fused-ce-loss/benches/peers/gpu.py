"""Linear cross-entropy of PyTorch, Apple's and Liger's on a GPU: what `GPU=1 cargo bench --bench plans` is to be seen beside.

    python gpu.py [--only TEXT] [--seconds 55]
    python gpu.py --device cpu --tiny

Optional peers are used where they can be imported: cut-cross-entropy, liger-kernel. What fails says why, and the rest goes on.
TFLOP/s count the products that are needed at least, each 2·N·D·V: one forward, two with a frozen head, three in training.
"""

import argparse
import functools
import importlib
import statistics
import time

import torch
import torch.nn.functional as F

# Tokens, width, classes.
SHAPES = {
    "small": (4096, 2048, 32768),
    "Llama-3-8B": (8192, 4096, 128256),
    "Gemma-2-2B": (8192, 2304, 256000),
}
TINY = {"tiny": (64, 32, 300)}
NEEDED = {"forward": 1, "frozen": 2, "train": 3}


def eager(hidden, weight, targets):
    """As models do it: logits in the dtype of the weights, the loss in float32."""
    return F.cross_entropy(F.linear(hidden, weight).float(), targets)


def optional(module, attribute):
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as why:
        text = str(why).strip().splitlines() or [""]
        print(f"absent: {module} ({type(why).__name__}: {text[0]})")
        return None


def peers(cuda):
    """Name to function of hidden states, classifier and targets; what compiles long comes last."""
    found = {"F.linear + F.cross_entropy": eager}
    liger = optional("liger_kernel.ops.fused_linear_cross_entropy", "LigerFusedLinearCrossEntropyFunction")
    if liger and cuda:

        def run_liger(hidden, weight, targets, **more):
            # Bias, class weights; then all defaults.
            return liger.apply(hidden, weight, targets, None, None, -100, 0.0, 0.0, "mean", None, False, more.get("accumulate"))[0]

        found["Liger"] = run_liger
        found["Liger, accumulating in f32"] = functools.partial(run_liger, accumulate=torch.float32)
    cce = optional("cut_cross_entropy", "linear_cross_entropy")
    if cce and cuda:
        found["CCE, all entries"] = functools.partial(cce, filter_eps=None)
        found["CCE, filtered"] = cce
    chunked, options = getattr(F, "linear_cross_entropy", None), getattr(torch.nn, "LinearCrossEntropyOptions", None)
    if chunked and options:
        found["F.linear_cross_entropy"] = lambda e, c, y: chunked(e, c, y, options=options())
    else:
        print("absent: F.linear_cross_entropy in chunks")
    found["torch.compile of the first"] = torch.compile(eager, dynamic=False)
    return found


class Bench:
    def __init__(self, options):
        self.options = options
        self.cuda = options.device == "cuda"
        self.end = time.perf_counter() + options.seconds
        self.left_out = []
        self.losses = {}

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, call):
        """Median of single calls, as many as take 0.2 seconds, three to twenty; long ones once."""
        self.sync()
        start = time.perf_counter()
        call()
        self.sync()
        once = time.perf_counter() - start
        if once > 0.5 or not self.cuda:
            return once
        rounds = max(3, min(20, int(0.2 / once)))
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(rounds)]
        for start, end in events:
            start.record()
            call()
            end.record()
        self.sync()
        return statistics.median(start.elapsed_time(end) for start, end in events) / 1e3

    def line(self, case, name, function, mode, precision, tensors):
        what = f"{case} {precision} {name} {mode}"
        if self.options.only not in what:
            return
        if time.perf_counter() > self.end:
            self.left_out.append(what)
            return
        hidden, weight, targets = tensors
        hidden = hidden.detach().requires_grad_(mode != "forward")
        weight = weight.detach().requires_grad_(mode == "train")

        def call():
            hidden.grad = weight.grad = None
            if mode == "forward":
                with torch.no_grad():
                    return function(hidden, weight, targets)
            loss = function(hidden, weight, targets)
            loss.backward()
            return loss.detach()

        head = f"| {case} | {precision} | {name} | {mode} |"
        try:
            begun = time.perf_counter()
            loss = call().item()
            ready = time.perf_counter() - begun
            # Of all that follows only the peak of one call.
            hidden.grad = weight.grad = None
            peak = float("nan")
            if self.cuda:
                torch.cuda.empty_cache()
                before = torch.cuda.memory_allocated()
                torch.cuda.reset_peak_memory_stats()
                call()
                self.sync()
                peak = torch.cuda.max_memory_allocated() - before
            seconds = self.seconds(call)
            want = self.losses[case]
            off = abs(loss - want) / abs(want)
            mark = "" if off <= 2e-2 else " **wrong**"
            (n, d), v = hidden.shape, weight.shape[0]
            rate = NEEDED[mode] * 2 * n * d * v / seconds / 1e12
            gradients = sum(t.grad.nbytes for t in (hidden, weight) if t.grad is not None)
            print(
                f"{head} {1e3 * seconds:.2f} | {rate:.1f} | {peak / 1e6:.0f} | {gradients / 1e6:.0f} | {off:.0e}{mark} | {ready:.1f} |",
                flush=True,
            )
        except Exception as why:
            text = str(why).strip().splitlines() or [""]
            print(f"{head} failed: {type(why).__name__}: {text[0][:160]} | | | | | |", flush=True)
        finally:
            hidden.grad = weight.grad = None
            if self.cuda:
                torch.cuda.empty_cache()


def product_rate(bench, tensors):
    """Operations per second of `E Cᵀ` over up to 16,384 classes."""
    hidden, weight, _ = tensors
    panel = weight[:16384]
    call = lambda: hidden @ panel.T
    call()
    (n, d), v = hidden.shape, panel.shape[0]
    return 2 * n * d * v / bench.seconds(call) / 1e12


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=55, help="after which no new line is begun")
    bench = Bench(parser.parse_args())
    device = bench.options.device
    start = time.perf_counter()
    found = peers(bench.cuda)
    name = torch.cuda.get_device_name() if bench.cuda else "cpu"
    print(f"{name}, torch {torch.__version__}; imports: {time.perf_counter() - start:.1f} s")
    print("Peak: of what is allocated beyond the inputs, gradients included.\n")
    print("| shape | dtype | peer | pass | ms | TFLOP/s | peak, MB | gradients, MB | loss off by | first run, s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rates = []
    torch.manual_seed(0)
    every, loss_and_training = ("train", "forward", "frozen"), ("train", "forward")
    plain = ["F.linear + F.cross_entropy"]
    compiled = ["torch.compile of the first"]
    others = [k for k in found if k not in plain + compiled]
    # What takes longest comes last: f32 without matrix units, what is compiled for every shape and pass.
    sweeps = [
        ("bf16", plain + others, every),
        ("f32, TF32 on", plain, loss_and_training),
        ("f32, TF32 off", plain, loss_and_training),
        ("bf16", compiled, loss_and_training),
        ("f32, TF32 on", others, loss_and_training),
    ]
    for precision, names, modes in sweeps:
        torch.backends.cuda.matmul.allow_tf32 = precision.endswith("on")
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        for case, (n, d, v) in (TINY if bench.options.tiny else SHAPES).items():
            if not any(bench.options.only in f"{case} {precision} {k} {mode}" for k in names for mode in modes):
                continue
            if time.perf_counter() > bench.end:
                bench.left_out.append(f"{case} {precision} {', '.join(names)}")
                continue
            uniform = lambda scale, *shape: ((2 * torch.rand(*shape, device=device) - 1) * scale).to(dtype)
            tensors = (uniform(6.0, n, d), uniform(d**-0.5, v, d), torch.randint(v, (n,), device=device))
            with torch.no_grad():
                bench.losses[case] = eager(*tensors).item()
            if plain[0] in names:
                rates.append((f"{case} {precision}", product_rate(bench, tensors)))
            for peer in names:
                for mode in modes:
                    # Of the peers that fuse, these tell what a frozen head saves.
                    if mode == "frozen" and peer not in (plain[0], "CCE, all entries", "F.linear_cross_entropy"):
                        continue
                    bench.line(case, peer, found[peer], mode, precision, tensors)
            del tensors
            if bench.cuda:
                torch.cuda.empty_cache()
    print("\n| PyTorch's product E Cᵀ alone, up to 16,384 classes | TFLOP/s |")
    print("|---|---|")
    for what, rate in rates:
        print(f"| {what} | {rate:.1f} |")
    if bench.left_out:
        print(f"\nno time left for {len(bench.left_out)}: {'; '.join(bench.left_out)}")
    print(f"\n{time.perf_counter() - start:.1f} s in all")


if __name__ == "__main__":
    main()
