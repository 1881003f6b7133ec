#!/usr/bin/env python3
"""The PyTorch peer of bench-reward: the picture's half of a CLIP-type reward, scores alone or scores and gradients.

    python3 bench/torch_reward.py --config l14_gradient --mode compile_bf16 --threads 1 --steps 2 --warmup 1 --device cpu

Configurations are NETWORK_SCORE or NETWORK_GRADIENT, with _8 for the first eight blocks alone. The text's feature is given, weights
are frozen, and what a score needs is all that is computed: of the last block the class token alone asks.

Care for the peer: q, k and v in one product, F.scaled_dot_product_attention, inference mode where no gradient is wanted, weights and
activations in bfloat16 outright in the modes that end in _bf16 (the score itself in float32), static shapes when compiled.

Prints one JSON line as torch_dit.py does.
"""

import json

import torch
import torch_dit as dit
from torch import nn
from torch.nn import functional as F

NETWORKS = {
    "l14": dict(width=1024, layers=24, heads=16, joint=768, quick=True),
    "h14": dict(width=1280, layers=32, heads=16, joint=1024, quick=False),
}
CONFIGS = {
    f"{network}_{what}{suffix}": dict(shape, layers=layers or shape["layers"], gradient=what == "gradient", batch=4)
    for network, shape in NETWORKS.items() for what in ("score", "gradient") for suffix, layers in (("", 0), ("_8", 8))
}
MODES = ("eager", "compile", "eager_bf16", "compile_bf16")
SIZE, PATCH = 224, 14
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Block(nn.Module):
    def __init__(self, width, heads, quick):
        super().__init__()
        self.width, self.heads, self.quick = width, heads, quick
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, last):
        h = self.norm1(x)
        if last:
            x = x[:, :1]
            w, b = self.qkv.weight, self.qkv.bias
            q = F.linear(h[:, :1], w[:self.width], b[:self.width])
            k, v = F.linear(h, w[self.width:], b[self.width:]).chunk(2, dim=-1)
        else:
            q, k, v = self.qkv(h).chunk(3, dim=-1)
        x = x + self.out(dit.attention(q, k, v, self.heads, None))
        h = self.fc1(self.norm2(x))
        h = h * torch.sigmoid(1.702 * h) if self.quick else F.gelu(h)
        return x + self.fc2(h)


class Tower(nn.Module):
    def __init__(self, width, layers, heads, joint, quick, **_):
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, stride=PATCH, bias=False)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1 + (SIZE // PATCH)**2, width) * 0.02)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads, quick) for _ in range(layers))
        self.projection = nn.Linear(width, joint, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN)[None, :, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[None, :, None, None])

    def forward(self, pictures, text):
        x = ((pictures - self.mean) / self.deviation).to(self.token.dtype)
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, -1), x], dim=1) + self.positions
        x = self.before(x)
        for index, block in enumerate(self.blocks):
            x = block(x, index + 1 == len(self.blocks))
        feature = self.projection(self.after(x[:, 0])).float()
        return (F.normalize(feature, dim=-1) * text).sum(dim=-1)


def measure(name, mode, arguments, device):
    config = dict(CONFIGS[name])
    batch = arguments.batch or config["batch"]
    torch.manual_seed(0)
    resident_before = dit.resident_mib()
    network = Tower(**config).to(device).eval().requires_grad_(False)
    count = sum(p.numel() for p in network.parameters())
    precision = "bf16" if mode.endswith("_bf16") else "f32"
    if precision == "bf16":
        network = network.to(torch.bfloat16)
    pictures = torch.rand(batch, 3, SIZE, SIZE, device=device).requires_grad_(config["gradient"])
    text = F.normalize(torch.randn(batch, config["joint"], device=device), dim=-1)
    score = torch.compile(network, dynamic=False, mode=arguments.compile_mode) if mode.startswith("compile") else network

    def step(_):
        if config["gradient"]:
            return torch.autograd.grad(score(pictures, text).sum(), pictures)
        with torch.inference_mode():
            return score(pictures, text)

    rates = dit.rates_of(step, batch, arguments, device)
    print(json.dumps({
        "peer": "pytorch", "version": torch.__version__, "config": name, "mode": mode, "device": device.type,
        "precision": precision, "threads": torch.get_num_threads(), "batch": batch, "layers": config["layers"],
        "parameters": count, **rates,
        **dit.peak_memory(device, resident_before, count / 2 if precision == "bf16" else count),
    }), flush=True)


if __name__ == "__main__":
    dit.run(__doc__, ["l14_score", "l14_gradient"], measure, CONFIGS, MODES)
