#!/usr/bin/env python3
"""The PyTorch peer of bench/iteration.c: one iteration of DI++ with the same networks, the same work and the same log.

    python3 bench/torch_iteration.py --mode eager --device cpu --precision f32

An iteration: prompts encoded, a batch generated, one TA update on it (EDM loss, backward, clip, AdamW); prompts and the null
prompt encoded, a batch generated, the normalised divergence with guidance omega = 3 (TA, reference, reference at the null
prompt), the gradient of the reward `border` through the clamp, the generator's backward from dL/dx0, clip, AdamW, average.

Care for the peer, besides torch_dit.py's: no graph is kept where no gradient is wanted (samples for the TA, both frozen
networks, text), the two reference passes are one of twice the batch, the reward's gradient goes to x0 alone, the numbers of
the log are read once at the end of an iteration. The compiled mode compiles the networks with static shapes, once with
and once without gradients.

Options and the JSON line are those of torch_dit.py.
"""
import json

import torch
from torch import nn

import torch_dit as dit

OMEGA, SCALE, EDGE, TA_MEAN, TA_STD, MEAN, STD, SIGMA_INIT = 3.0, 0.3, 2, 0.0, 1.4, 0.3, 1.2, 2.5


def per_sample(numbers):
    return numbers[:, None, None, None]


def denoise(predict, x, sigma, states, key_mask):
    """The denoised x0 of an EDM network at x = x0 + sigma noise."""
    s = per_sample(sigma)
    total = s * s + dit.SIGMA_DATA**2
    prediction = predict(x / total.sqrt(), sigma.log() / 4, states, key_mask)
    return x * (dit.SIGMA_DATA**2 / total) + prediction * (s * dit.SIGMA_DATA / total.sqrt())


class Iteration:
    def __init__(self, config, batch, mode, arguments, device):
        self.batch, self.device, self.decay = batch, device, 0.95
        self.shape = (batch, dit.CHANNELS, config["size"], config["size"])
        self.reference = dit.Dit(**config).to(device).requires_grad_(False)
        self.ta = dit.Dit(with_text=False, **config).to(device)
        self.generator = dit.Dit(with_text=False, **config).to(device)
        self.average = [p.detach().clone() for p in self.generator.parameters()]
        self.generator_update, self.optimizer_kind = dit.make_optimizer(self.generator, device, 5e-5)
        self.ta_update, _ = dit.make_optimizer(self.ta, device, 1e-4)
        self.cast = dit.cast_of(arguments.precision, device)

        def callable_of(network):
            if mode != "compile":
                return network.predict
            return torch.compile(network.predict, dynamic=False, mode=arguments.compile_mode)

        self.predict = {name: callable_of(getattr(self, name)) for name in ("reference", "ta", "generator")}
        length = config["text_tokens"]
        ids = torch.randint(1, dit.VOCABULARY, (4, length))
        mask = torch.arange(length)[None] < torch.tensor([[6], [2], [2], [3]])
        self.prompts = ((ids * mask).to(device), mask.to(device))
        self.null = (torch.zeros(1, length, dtype=torch.long, device=device),
                     torch.arange(length, device=device)[None] < 1)
        weight = torch.ones(config["size"], config["size"], device=device)
        weight[EDGE:-EDGE, EDGE:-EDGE] = 0
        self.border = weight / weight.sum() * torch.tensor([0.0, 0.0, 1.0], device=device)[:, None, None]

    def levels(self, mean, std):
        return (torch.randn(self.batch, device=self.device) * std + mean).exp()

    def encode(self):
        """Prompts of a batch: states [B, L, C], mask [B, L]."""
        rows = torch.randint(0, 4, (self.batch,), device=self.device)
        mask = self.prompts[1][rows]
        with torch.no_grad():
            return self.reference.text(self.prompts[0][rows], mask), mask

    def generate(self, states, mask):
        sigma = torch.full((self.batch,), SIGMA_INIT, device=self.device)
        z = torch.randn(self.shape, device=self.device) * SIGMA_INIT
        return denoise(self.predict["generator"], z, sigma, states, mask)

    def update(self, network, optimizer):
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm

    def teach(self):
        with self.cast():
            states, mask = self.encode()
            with torch.no_grad():
                x0 = self.generate(states, mask)
            sigma = self.levels(TA_MEAN, TA_STD)
            s = per_sample(sigma)
            error = denoise(self.predict["ta"], x0 + s * torch.randn_like(x0), sigma, states, mask) - x0
            weight = (sigma**2 + dit.SIGMA_DATA**2) / (sigma * dit.SIGMA_DATA) ** 2
            loss = ((error * error).mean(dim=(1, 2, 3)) * weight).mean()
        loss.backward()
        return [loss.detach(), self.update(self.ta, self.ta_update)]

    @torch.no_grad()
    def diverge(self, x0, states, mask):
        """dL/dx0 of the IKL and of guidance, and the two sums of squared score differences."""
        sigma = self.levels(MEAN, STD)
        x = x0 + per_sample(sigma) * torch.randn_like(x0)
        null_states = self.reference.text(*self.null).expand(self.batch, -1, -1)
        ta = denoise(self.predict["ta"], x, sigma, states, mask)
        both = denoise(self.predict["reference"], torch.cat([x, x]), torch.cat([sigma, sigma]),
                       torch.cat([states, null_states]), torch.cat([mask, self.null[1].expand(self.batch, -1)]))
        reference, null = both.chunk(2)
        guided = reference + (OMEGA - 1) * (reference - null)
        size = (x0 - guided).abs().mean(dim=(1, 2, 3)) + 1e-6
        factor = per_sample(1 / (self.batch * x0[0].numel() * size))
        score = per_sample(1 / sigma**2)
        squares = [(((ta - other) * score) ** 2).sum() for other in (reference, null)]
        return (ta - reference) * factor, (reference - null) * (-(OMEGA - 1) * factor), squares

    def reward(self, x0):
        """Gradient of -scale times the mean score to x0, and that mean; the clamp passes gradients straight through."""
        x = x0.detach().requires_grad_(True)
        pictures = x * 0.5 + 0.5
        pictures = pictures + (pictures.clamp(0, 1) - pictures).detach()
        mean = (pictures * self.border).sum() / self.batch
        (gradient,) = torch.autograd.grad(mean, x, torch.tensor(-SCALE, device=self.device))
        return gradient, mean.detach()

    def step(self, _):
        log = self.teach()
        with self.cast():
            states, mask = self.encode()
            x0 = self.generate(states, mask).float()
            ikl, cfg, squares = self.diverge(x0.detach(), states, mask)
        reward, mean = self.reward(x0)
        parts = (ikl.float(), cfg.float(), reward)
        log += squares + [mean] + [(a * b).sum() for i, a in enumerate(parts) for b in parts[i:]]
        x0.backward(parts[0] + parts[1] + parts[2])
        log.append(self.update(self.generator, self.generator_update))
        dit.move_average(self.average, list(self.generator.parameters()), self.decay)
        self.log = torch.stack([number.float() for number in log]).tolist()


def measure(name, mode, arguments, device):
    config = dict(dit.CONFIGS[name])
    batch = arguments.batch or config["batch"]
    if arguments.layers:
        config["layers"] = arguments.layers
    torch.manual_seed(0)
    resident_before = dit.resident_mib()
    iteration = Iteration(config, batch, mode, arguments, device)
    rates = dit.rates_of(iteration.step, batch, arguments, device)
    counts = [sum(p.numel() for p in network.parameters())
              for network in (iteration.reference, iteration.ta, iteration.generator)]
    print(json.dumps({
        "peer": "pytorch", "what": "iteration", "version": torch.__version__, "config": name, "mode": mode,
        "device": device.type, "precision": arguments.precision, "threads": torch.get_num_threads(), "batch": batch,
        "layers": config["layers"], "parameters": counts[0], "optimizer": iteration.optimizer_kind,
        **rates, **dit.peak_memory(device, resident_before, sum(counts)), "log": iteration.log,
    }), flush=True)


if __name__ == "__main__":
    dit.run(__doc__, ["shipped"], measure)
