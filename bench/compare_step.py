#!/usr/bin/env python3
"""The training step against PyTorch: one run, same network, batch and precision, the two interleaved; prints the ratio.

    bench/compare_step.py [--rounds 5] [--python /path/to/python-with-torch ...] [--modes eager,compile]

Each round runs bench-step and every peer once, so that a machine whose speed drifts is fair to all. The table shows the median
and the spread of pictures per second, the peak memory, and dipp's rate over each peer's.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

# As in torch_dit.py.
CONFIGS = {
    "bench": dict(width=256, layers=6, heads=8, tokens=8, batch=128),
    "demo": dict(width=160, layers=6, heads=5, tokens=16, batch=64),
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", action="append", default=[], help="a Python with torch; may be given again")
    parser.add_argument("--modes", default="eager,compile")
    parser.add_argument("--step", default=os.path.join(here, "..", "build", "bench", "bench-step"))
    parser.add_argument("--config", default="demo", choices=sorted(CONFIGS))
    parser.add_argument("--batch", type=int, default=0, help="0: the configuration's own")
    parser.add_argument("--steps", default="8")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--threads", default=str(os.cpu_count()))
    options = parser.parse_args()

    config = dict(CONFIGS[options.config])
    config["batch"] = options.batch or config["batch"]
    shape = [text for key, value in config.items() for text in (f"--{key}", str(value))]
    environment = dict(os.environ, OMP_NUM_THREADS=options.threads)
    runs = {"dipp": [options.step] + shape + ["--steps", options.steps, "--precision", options.precision,
                                              "--threads", options.threads]}
    for python in options.python or [sys.executable]:
        for mode in options.modes.split(","):
            runs[f"{python} {mode}"] = [
                python, os.path.join(here, "torch_dit.py"), "--config", options.config, "--mode", mode, "--precision",
                options.precision, "--batch", str(config["batch"]), "--threads", options.threads, "--device", "cpu",
                "--steps", options.steps, "--repeats", "1", "--warmup", "3"]
    rates = {name: [] for name in runs}
    memory = {}
    for _ in range(options.rounds):
        for name, command in runs.items():
            result = last_json(command, environment)
            rates[name].append(result["images_per_second"])
            memory[name] = result.get("peak_rss_mib") or result.get("peak_memory_bytes", 0) / 1048576
    ours = statistics.median(rates["dipp"])
    print(f"{'program':<44} {'images/s':>9} {'min':>7} {'max':>7} {'MiB':>8} {'dipp / it':>10}")
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:<44} {median:>9.1f} {min(values):>7.1f} {max(values):>7.1f} {memory[name]:>8.0f} "
              f"{ours / median:>9.2f}x")


if __name__ == "__main__":
    main()
