#!/usr/bin/env python3
"""dipp against PyTorch: one run, same networks, batch and precision, interleaved; prints rates, ratios and memory.

    bench/compare.py [--what step|unet|iteration|reward] [--rounds 5] [--python /path/to/python-with-torch ...] [--modes eager,compile]
                     [--device cpu|cuda]

step is a training step of the transformer, unet one of the UNet, iteration a whole iteration of DI++, reward a CLIP-type reward's
scores or scores and gradients, beside which the peer's modes say their own precision. Each round runs dipp and every peer once, so
that a machine whose speed drifts is fair to all. The table shows the median and the spread of pictures per second, dipp's rate
over each peer's, and, on the CPU, the memory above the loaded weights with dipp's share of each peer's. On a machine that others
use, --clock cpu --threads 1 counts pictures per second of processor time. On a GPU the last line is dipp's share of the peak rate
of matrix units in bf16 (--peak-tflops).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

# As in torch_dit.py.
TRANSFORMERS = {
    "bench": dict(width=256, layers=6, heads=8, tokens=8, batch=128),
    "demo": dict(width=160, layers=6, heads=5, tokens=16, batch=64),
    "shipped": dict(width=128, layers=5, heads=4, tokens=16, batch=32),
    "xl": dict(width=1152, layers=28, heads=16, tokens=16, size=64, batch=32),
}
# As in torch_unet.py.
UNETS = {
    name: dict(network="unet", width=96, layers=1, heads=4, groups=16, tokens=16, **config)
    for name, config in {
        "emoji": dict(widths="32,48,64", size=32, channels=3, batch=32),
        "latent": dict(widths="48,96", size=16, channels=4, batch=32),
        "wide": dict(widths="80,160,320", size=32, channels=4, batch=4),
    }.items()
}
# As in torch_reward.py.
REWARDS = {
    f"{network}_{what}{suffix}": dict(network=network, layers=layers, gradient=int(what == "gradient"), batch=4)
    for network in ("l14", "h14") for what in ("score", "gradient") for suffix, layers in (("", 0), ("_8", 8))
}
# What is compared: dipp's program, the peer, the configurations, and the peer's modes.
SUBJECTS = {
    "step": ("bench-step", "torch_dit.py", TRANSFORMERS, "eager,compile"),
    "unet": ("bench-step", "torch_unet.py", UNETS, "eager,eager_last,compile,compile_last"),
    "iteration": ("bench-iteration", "torch_iteration.py", TRANSFORMERS, "eager,compile"),
    "reward": ("bench-reward", "torch_reward.py", REWARDS, "eager,compile,eager_bf16,compile_bf16"),
}
here = os.path.dirname(os.path.abspath(__file__))


def last_json(command, environment):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", default="step", choices=sorted(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", action="append", default=[], help="a Python with torch; may be given again")
    parser.add_argument("--modes", help="of the peer; default: all it has")
    parser.add_argument("--warmup", default="3", help="steps before the timed ones")
    parser.add_argument("--build", default=os.path.join(here, "..", "build"))
    parser.add_argument("--config", help="default: shipped, emoji for unet, l14_gradient for reward")
    parser.add_argument("--batch", type=int, default=0, help="0: the configuration's own")
    parser.add_argument("--steps", default="8")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="of the GPU; H100's and H200's by default")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--threads", default=str(os.cpu_count()))
    options = parser.parse_args()

    program, peer, configs, modes = SUBJECTS[options.what]
    options.config = options.config or {"unet": "emoji", "reward": "l14_gradient"}.get(options.what, "shipped")
    if options.config not in configs:
        parser.error(f"--config of {options.what} is one of {', '.join(sorted(configs))}")
    config = dict(configs[options.config])
    config["batch"] = options.batch or config["batch"]
    shape = [text for key, value in config.items() for text in (f"--{key}", str(value))]
    # The program dipp gives itself a short spin (core/cli/main.c); PyTorch keeps the default it was tuned with.
    environment = dict(os.environ, OMP_NUM_THREADS=options.threads)
    short_spin = dict(environment, OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="20000")
    runs = {"dipp": [os.path.join(options.build, "bench", program)] + shape +
            ["--backend", options.device, "--steps", options.steps, "--warmup", options.warmup, "--precision",
             options.precision, "--threads", options.threads]}
    for python in options.python or [sys.executable]:
        for mode in (options.modes or modes).split(","):
            runs[f"{python} {mode}"] = [
                python, os.path.join(here, peer), "--config", options.config, "--mode", mode, "--precision",
                options.precision, "--batch", str(config["batch"]), "--threads", options.threads, "--device", options.device,
                "--steps", options.steps, "--repeats", "1", "--warmup", options.warmup]
    rate = "images_per_second" if options.clock == "wall" else "images_per_cpu_second"
    results = {name: [] for name in runs}
    for done in range(options.rounds):
        for name, command in runs.items():
            results[name].append(last_json(command, short_spin if name == "dipp" else environment))
            print(f"round {done + 1} of {options.rounds}: {name} {results[name][-1][rate]:.3g} images/s", file=sys.stderr)
    if len({result["parameters"] for runs_of_one in results.values() for result in runs_of_one}) != 1:
        sys.exit("the programs did not run the same network: " +
                 ", ".join(f"{name} has {values[0]['parameters']} parameters" for name, values in results.items()))

    def median_of(name, key):
        return statistics.median(result[key] for result in results[name])

    host = options.device == "cpu"
    where = f"{options.threads} threads" if host else options.device
    print(f"{options.what}, {options.config}, batch {config['batch']}, {options.precision}, {where}, "
          f"{options.rounds} rounds of {options.steps}, {options.clock} time" +
          ("; MiB above the loaded weights" if host else ""))
    print(f"{'program':<44} {'images/s':>9} {'min':>7} {'max':>7} {'dipp / it':>10}" +
          (f" {'MiB':>7} {'dipp / it':>10}" if host else ""))
    for name, values in results.items():
        rates = [result[rate] for result in values]
        line = (f"{name:<44} {statistics.median(rates):>9.4g} {min(rates):>7.4g} {max(rates):>7.4g} "
                f"{median_of('dipp', rate) / statistics.median(rates):>9.2f}x")
        if host:
            memory = median_of(name, "above_weights_mib")
            line += f" {memory:>7.0f} {median_of('dipp', 'above_weights_mib') / memory:>9.2f}x"
        print(line)
    if not host:
        tflops = median_of("dipp", "tflops")
        print(f"dipp: {tflops:.1f} TFLOP/s of useful work, {100 * tflops / options.peak_tflops:.1f} % of {options.peak_tflops:g}")


if __name__ == "__main__":
    main()
