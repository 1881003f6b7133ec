#!/usr/bin/env python3
"""The PyTorch peer of dipp's transformer: the same network and the same training step, measured.

    python3 bench/torch_dit.py                                   all configurations, eager and compiled
    python3 bench/torch_dit.py --config demo --mode eager --batch 64 --device cpu

One step is one step of dipp's pretraining: pictures, captions and noise levels in, EDM denoising loss, backward, gradient
clipping, AdamW, EMA of all weights. The text encoder is trained with the network, as in dipp.

Care for the peer: bfloat16 autocast over float32 masters, F.scaled_dot_product_attention, fused AdamW where the device
has it and foreach elsewhere, foreach clipping and EMA, gradients set to None, TF32 for what autocast leaves in float32,
inputs on the device beforehand, no synchronisation inside a timed repeat, warm-up (and compilation) before it. The
compiled mode compiles network and loss with static shapes ("max-autotune" by --compile-mode). All text is padded to one
length with a mask, as dipp's recordings have it.

Runs with current PyTorch and with 1.13 (there: no torch.compile, and attention is written out).

Prints one JSON line per configuration and mode. images_per_second is the median over repeats, images_per_second_all lists
them. peak_memory_bytes: on a GPU what the allocator reached in the timed part (memory_kind "device"); on a CPU the peak
resident size of the whole process in the timed part (memory_kind "process"), so run one configuration and mode a process to
compare it. above_weights_mib is that peak without what was resident before there was a network and without the weights.
"""

import argparse
import contextlib
import json
import math
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

CONFIGS = {
    # 64 image tokens, 8 text tokens, batch 128.
    "bench": dict(size=32, patch=4, hidden=256, layers=6, heads=8, text_tokens=8, text_layers=1, batch=128),
    # dipp's defaults for 32 px pictures, about 3M.
    "demo": dict(size=32, patch=4, hidden=160, layers=6, heads=5, text_tokens=16, text_layers=1, batch=64),
    # The shipped weights, as the demo aligns them.
    "shipped": dict(size=32, patch=4, hidden=128, layers=5, heads=4, text_tokens=16, text_layers=1, batch=32),
    # As large as DiT-XL, 256 image tokens.
    "xl": dict(size=64, patch=4, hidden=1152, layers=28, heads=16, text_tokens=16, text_layers=1, batch=32),
}
CHANNELS, VOCABULARY, TIME_SCALE, SIGMA_DATA = 3, 1024, 1000.0, 0.5


def attention(q, k, v, heads, key_mask):
    """q [B,N,C], k and v [B,M,C], key_mask bool [B,M] (True: a key) or None."""
    batch, tokens, width = q.shape
    q, k, v = (z.reshape(batch, -1, heads, width // heads).transpose(1, 2) for z in (q, k, v))
    mask = None if key_mask is None else key_mask[:, None, None, :]
    if hasattr(F, "scaled_dot_product_attention"):
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    else:
        logits = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
        if mask is not None:
            logits = logits.masked_fill(~mask, -10000.0)
        y = torch.softmax(logits, dim=-1).to(v.dtype) @ v
    return y.transpose(1, 2).reshape(batch, tokens, width)


class Attention(nn.Module):
    """Self-attention projects q, k and v in one matrix product, cross-attention k and v: faster than three."""

    def __init__(self, width, heads, cross=False):
        super().__init__()
        self.heads, self.cross = heads, cross
        if cross:
            self.to_q = nn.Linear(width, width)
            self.to_kv = nn.Linear(width, 2 * width)
        else:
            self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x, context=None, key_mask=None):
        if self.cross:
            q, (k, v) = self.to_q(x), self.to_kv(context).chunk(2, dim=-1)
        else:
            q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        return self.to_out(attention(q, k, v, self.heads, key_mask))


def mlp(width_in, inner, width_out, activation):
    return nn.Sequential(nn.Linear(width_in, inner), activation, nn.Linear(inner, width_out))


def gelu_tanh():
    return nn.GELU(approximate="tanh")


class TextEncoder(nn.Module):
    def __init__(self, length, width, layers, heads):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm1": nn.LayerNorm(width), "attention": Attention(width, heads),
                           "norm2": nn.LayerNorm(width), "mlp": mlp(width, 4 * width, width, gelu_tanh())})
            for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids, key_mask):
        x = self.tokens(ids) + self.positions
        for block in self.blocks:
            x = x + block["attention"](block["norm1"](x), key_mask=key_mask)
            x = x + block["mlp"](block["norm2"](x))
        return self.norm(x)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.table = nn.Parameter(torch.randn(6, width) / width**0.5)
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads, cross=True)
        self.mlp = mlp(width, 4 * width, width, gelu_tanh())

    def forward(self, x, t6, caption, key_mask):
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.table + t6).unbind(1)
        x = x + gate1[:, None] * self.self_attention(self.norm(x) * (1 + scale1[:, None]) + shift1[:, None])
        x = x + self.cross_attention(x, caption, key_mask)
        return x + gate2[:, None] * self.mlp(self.norm(x) * (1 + scale2[:, None]) + shift2[:, None])


def positions(rows, width):
    """[rows * rows, width]: first half the column, second half the row; each half sines, then cosines."""
    omega = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(rows), indexing="ij")
    parts = []
    for coordinate in (x, y):
        angle = coordinate.reshape(-1, 1).double() * omega
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, dim=1).float()


class Dit(nn.Module):
    """The PixArt-alpha transformer, as core/nn/dit.c records it, with its text encoder unless with_text is False."""

    def __init__(self, size, patch, hidden, layers, heads, text_tokens, text_layers, with_text=True, **_):
        super().__init__()
        self.patch, self.rows, self.hidden = patch, size // patch, hidden
        features = CHANNELS * patch * patch
        if with_text:
            self.text = TextEncoder(text_tokens, hidden, text_layers, heads)
        self.embed = nn.Linear(features, hidden)
        self.register_buffer("positions", positions(self.rows, hidden))
        frequencies = torch.exp(-math.log(10000.0) * torch.arange(128, dtype=torch.float32) / 128)
        self.register_buffer("frequencies", frequencies)
        self.time = mlp(256, hidden, hidden, nn.SiLU())
        self.modulation = nn.Linear(hidden, 6 * hidden)
        self.caption = mlp(hidden, hidden, hidden, gelu_tanh())
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.table = nn.Parameter(torch.randn(2, hidden) / hidden**0.5)
        self.norm = nn.LayerNorm(hidden, eps=1e-6, elementwise_affine=False)
        self.out = nn.Linear(hidden, features)

    def forward(self, x, t, ids, key_mask):
        return self.predict(x, t, self.text(ids, key_mask), key_mask)

    def predict(self, x, t, states, key_mask):
        """states [B, L, C]: what the text encoder made of the prompts."""
        n, k, rows = x.shape[0], self.patch, self.rows
        h = x.reshape(n, CHANNELS, rows, k, rows, k).permute(0, 2, 4, 1, 3, 5).reshape(n, rows * rows, -1)
        h = self.embed(h).float() + self.positions
        angle = (t * TIME_SCALE)[:, None] * self.frequencies
        e = self.time(torch.cat([angle.cos(), angle.sin()], dim=1))
        t6 = self.modulation(F.silu(e)).float().reshape(n, 6, self.hidden)
        caption = self.caption(states)
        for block in self.blocks:
            h = block(h, t6, caption, key_mask)
        shift, scale = (self.table + e.float()[:, None]).unbind(1)
        h = self.out(self.norm(h) * (1 + scale[:, None]) + shift[:, None])
        h = h.reshape(n, rows, rows, k, k, CHANNELS).permute(0, 5, 1, 3, 2, 4)
        return h.reshape(n, CHANNELS, rows * k, rows * k).float()


def denoising_loss(network, x0, noise, sigma, ids, key_mask):
    """EDM: the network's target is (x0 - c_skip x_t) / c_out, which has unit weight at the published weighting."""
    s = sigma[:, None, None, None]
    total = s * s + SIGMA_DATA**2
    x = x0 + s * noise
    target = (x0 - x * SIGMA_DATA**2 / total) * total.sqrt() / (s * SIGMA_DATA)
    prediction = network(x / total.sqrt(), sigma.log() / 4, ids, key_mask)
    return F.mse_loss(prediction, target)


def make_optimizer(network, device, lr=1e-3):
    decayed = [p for p in network.parameters() if p.ndim >= 2]
    plain = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    tries = [{"fused": True}, {"foreach": True}] if device.type == "cuda" or supports_fused_cpu() else [{"foreach": True}]
    for extra in tries:
        try:
            return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), eps=1e-8, **extra), next(iter(extra))
        except (RuntimeError, TypeError):
            continue
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), eps=1e-8), "plain"


def supports_fused_cpu():
    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 4)


def move_average(average, parameters, decay):
    with torch.no_grad():
        torch._foreach_mul_(average, decay)
        torch._foreach_add_(average, [p.detach() for p in parameters], alpha=1 - decay)


def cast_of(precision, device):
    """What a step computes in: autocast over float32 masters, or nothing."""
    if precision == "bf16":
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext


def synchronise(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def resident_mib(key="VmRSS"):
    """Of this process: VmRSS now, VmHWM the most since reset_peak."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key))


def reset_peak(device):
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def peak_memory(device, resident_before, loaded):
    """What is printed about memory; loaded: parameters that are there before training starts."""
    if device.type == "cuda":
        return {"peak_memory_bytes": torch.cuda.max_memory_allocated(), "memory_kind": "device"}
    peak = resident_mib("VmHWM")
    return {"peak_memory_bytes": int(peak * 1048576), "memory_kind": "process",
            "above_weights_mib": peak - resident_before - loaded * 4 / 1048576}


def rates_of(step, batch, arguments, device):
    """What is printed about speed: pictures per second of every timed repeat, by the wall's clock and by that of all
    threads (for a machine that others use too, with one thread), and the seconds of the warm-up before them."""
    start = time.perf_counter()
    for index in range(arguments.warmup):
        step(index)
    synchronise(device)
    warmup = time.perf_counter() - start
    reset_peak(device)
    wall, cpu = [], []
    for _ in range(arguments.repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        for index in range(arguments.steps):
            step(index)
        synchronise(device)
        wall.append(arguments.steps * batch / (time.perf_counter() - start))
        cpu.append(arguments.steps * batch / (time.process_time() - cpu_start))
    median = statistics.median(wall)
    return {"images_per_second": median, "images_per_second_all": wall, "images_per_cpu_second": statistics.median(cpu),
            "seconds_per_step": batch / median, "warmup_seconds": warmup}


def make_batches(config, batch, device, count=4, channels=CHANNELS):
    """Several fixed batches, so that nothing can be learned about one of them by the caches."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(count):
        shape = (batch, channels, config["size"], config["size"])
        x0 = torch.rand(shape, generator=generator) * 2 - 1
        noise = torch.randn(shape, generator=generator)
        sigma = (torch.randn(batch, generator=generator) * 1.4 - 0.6).exp()
        length = config["text_tokens"]
        ids = torch.randint(1, VOCABULARY, (batch, length), generator=generator)
        valid = torch.randint(1, length + 1, (batch, 1), generator=generator)
        key_mask = torch.arange(length)[None] < valid
        batches.append([z.to(device) for z in (x0, noise, sigma, ids * key_mask, key_mask)])
    return batches


def measure(name, mode, arguments, device):
    config = dict(CONFIGS[name])
    batch = arguments.batch or config["batch"]
    if arguments.layers:
        config["layers"] = arguments.layers
    torch.manual_seed(0)
    resident_before = resident_mib()
    network = Dit(**config).to(device).train()
    train(name, mode, arguments, device, resident_before, network, make_batches(config, batch, device),
          layers=config["layers"])


def train(name, mode, arguments, device, resident_before, network, batches, **facts):
    """Times the training step of a network, network(x, t, ids, key_mask), and prints the line."""
    parameters, batch = list(network.parameters()), len(batches[0][0])
    average = [p.detach().clone() for p in parameters]
    optimizer, optimizer_kind = make_optimizer(network, device)
    loss_of, cast = denoising_loss, cast_of(arguments.precision, device)
    if mode.startswith("compile"):
        compiled = torch.compile(network, dynamic=False, mode=arguments.compile_mode)

        def loss_of(_, *inputs):
            return denoising_loss(compiled, *inputs)

    last = None

    def step(index):
        nonlocal last
        with cast():
            loss = loss_of(network, *batches[index % len(batches)])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        move_average(average, parameters, arguments.ema)
        last = loss.detach()

    rates = rates_of(step, batch, arguments, device)
    count = sum(p.numel() for p in parameters)
    print(json.dumps({
        "peer": "pytorch", "version": torch.__version__, "config": name, "mode": mode, "device": device.type,
        "precision": arguments.precision, "threads": torch.get_num_threads(), "batch": batch, **facts,
        "parameters": count, "optimizer": optimizer_kind, **rates, **peak_memory(device, resident_before, count),
        "loss": float(last),
    }), flush=True)


def run(description, default_configs, measure, configs=None, modes=("eager", "compile")):
    """Command line of a peer: measure(name, mode, arguments, device) for every configuration and mode asked for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=sorted(configs or CONFIGS), action="append", help="default: all that make sense")
    parser.add_argument("--mode", choices=modes, action="append", help="default: all")
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=0, help="0: the configuration's own")
    parser.add_argument("--layers", type=int, default=0, help="0: the configuration's own")
    parser.add_argument("--steps", type=int, default=20, help="steps of a timed repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=10, help="untimed steps; compilation happens here")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--compile-mode", default="default", help="torch.compile's mode, e.g. max-autotune")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = True
    device = torch.device(arguments.device)
    for name in arguments.config or default_configs:
        for mode in arguments.mode or modes:
            if mode.startswith("compile") and not hasattr(torch, "compile"):
                print(f"torch {torch.__version__} has no torch.compile: mode skipped", file=sys.stderr)
                continue
            measure(name, mode, arguments, device)


if __name__ == "__main__":
    run(__doc__, ["bench", "demo", "shipped"], measure)
