#!/usr/bin/env python3
"""The PyTorch peer of dipp's UNet: the same network and the same training step, measured as torch_dit.py measures.

    python3 bench/torch_unet.py                                   all configurations and modes
    python3 bench/torch_unet.py --config emoji --mode eager_last --device cpu --precision f32

The network is Stable Diffusion's UNet2DConditionModel as published, with transformers in all levels but the finest, small;
with it a text encoder is trained. The care for the peer is that of torch_dit.py; beside it the memory format: modes
whose names end in _last have parameters and activations channels-last, which suits some convolutions and not others. A
group norm and the SiLU after it are left to the compiler.

Prints one JSON line per configuration and mode, as torch_dit.py does.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

import torch_dit as dit

# As compare.py gives them to dipp. text is the width of the text encoder, which has four heads as all transformers have.
CONFIGS = {
    # Pictures of the emoji world.
    "emoji": dict(widths=(32, 48, 64), size=32, channels=3, groups=16, heads=4, layers=1, text=96, text_tokens=16, batch=32),
    # Latents of an autoencoder.
    "latent": dict(widths=(48, 96), size=16, channels=4, groups=16, heads=4, layers=1, text=96, text_tokens=16, batch=32),
    # A quarter of Stable Diffusion's widths.
    "wide": dict(widths=(80, 160, 320), size=32, channels=4, groups=16, heads=4, layers=1, text=96, text_tokens=16, batch=4),
}
MODES = ("eager", "eager_last", "compile", "compile_last")


class Resnet(nn.Module):
    def __init__(self, width_in, width, time, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width_in, eps=1e-5)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, width)
        self.norm2 = nn.GroupNorm(groups, width, eps=1e-5)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(time)[:, :, None, None]
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """Projections without biases but the last; joint products for q, k, v, and for k, v of a context."""

    def __init__(self, width, heads, context=0):
        super().__init__()
        self.heads, self.context = heads, context
        if context:
            self.to_q = nn.Linear(width, width, bias=False)
            self.to_kv = nn.Linear(context, 2 * width, bias=False)
        else:
            self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x, context=None, key_mask=None):
        if self.context:
            q, (k, v) = self.to_q(x), self.to_kv(context).chunk(2, dim=-1)
        else:
            q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        return self.to_out(dit.attention(q, k, v, self.heads, key_mask))


class Transformer(nn.Module):
    def __init__(self, width, heads, context, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = Attention(width, heads), Attention(width, heads, context)
        self.ff_in, self.ff_out = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x, states, key_mask):
        n, width, rows, columns = x.shape
        h = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(n, rows * columns, width)
        h = h + self.attn1(self.norms[0](h))
        h = h + self.attn2(self.norms[1](h), states, key_mask)
        value, gate = self.ff_in(self.norms[2](h)).chunk(2, dim=-1)
        h = h + self.ff_out(value * F.gelu(gate))
        return x + self.proj_out(h.reshape(n, rows, columns, width).permute(0, 3, 1, 2))


class Layer(nn.Module):
    """A resnet and, in all levels but the finest, a transformer."""

    def __init__(self, width_in, width, attention, time, heads, context, groups):
        super().__init__()
        self.resnet = Resnet(width_in, width, time, groups)
        self.transformer = Transformer(width, heads, context, groups) if attention else None

    def forward(self, x, time, states, key_mask):
        x = self.resnet(x, time)
        return x if self.transformer is None else self.transformer(x, states, key_mask)


class Unet(nn.Module):
    """UNet2DConditionModel, as core/nn/unet.c records it, with its text encoder."""

    def __init__(self, widths, channels, groups, heads, layers, text, text_tokens, **_):
        super().__init__()
        time, self.first = 4 * widths[0], widths[0]
        common = dict(time=time, heads=heads, context=text, groups=groups)
        self.text = dit.TextEncoder(text_tokens, text, 1, heads)
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * torch.arange(widths[0] // 2) / (widths[0] // 2)))
        self.time = dit.mlp(widths[0], time, time, nn.SiLU())
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down, self.halving, self.up, self.doubling = (nn.ModuleList() for _ in range(4))
        skips, width = [widths[0]], widths[0]
        for level, out in enumerate(widths):
            block = nn.ModuleList()
            for _ in range(layers):
                block.append(Layer(width, out, level > 0, **common))
                width = out
                skips.append(out)
            self.down.append(block)
            if level + 1 < len(widths):
                self.halving.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
                skips.append(out)
        self.mid = nn.ModuleList([Layer(width, width, True, **common), Layer(width, width, False, **common)])
        for level in reversed(range(len(widths))):
            block = nn.ModuleList()
            for _ in range(layers + 1):
                block.append(Layer(width + skips.pop(), widths[level], level > 0, **common))
                width = widths[level]
            self.up.append(block)
            if level > 0:
                self.doubling.append(nn.Conv2d(width, width, 3, padding=1))
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, x, t, ids, key_mask):
        states = self.text(ids, key_mask)
        angle = (t * dit.TIME_SCALE)[:, None] * self.frequencies
        time = F.silu(self.time(torch.cat([angle.cos(), angle.sin()], dim=1)))
        h = self.conv_in(x)
        skips = [h]
        for level, block in enumerate(self.down):
            for layer in block:
                h = layer(h, time, states, key_mask)
                skips.append(h)
            if level < len(self.halving):
                h = self.halving[level](h)
                skips.append(h)
        for layer in self.mid:
            h = layer(h, time, states, key_mask)
        for level, block in enumerate(self.up):
            for layer in block:
                h = layer(torch.cat([h, skips.pop()], dim=1), time, states, key_mask)
            if level < len(self.doubling):
                h = self.doubling[level](F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.conv_norm_out(h))).float()


def measure(name, mode, arguments, device):
    config = dict(CONFIGS[name])
    if arguments.layers:
        config["layers"] = arguments.layers
    torch.manual_seed(0)
    resident_before = dit.resident_mib()
    network = Unet(**config).to(device).train()
    batches = dit.make_batches(config, arguments.batch or config["batch"], device, channels=config["channels"])
    if mode.endswith("_last"):
        network = network.to(memory_format=torch.channels_last)
        for batch in batches:
            batch[:2] = [z.to(memory_format=torch.channels_last) for z in batch[:2]]
    dit.train(name, mode, arguments, device, resident_before, network, batches, layers=config["layers"])


if __name__ == "__main__":
    dit.run(__doc__, sorted(CONFIGS), measure, CONFIGS, MODES)
