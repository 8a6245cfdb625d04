"""Whole training steps, data included, beside gunpowder's loader before the same network.

Both read the same zarr volume, crop at random, deform and turn, mirror, change intensities, make
affinities and balance them, and train the same U-Net with AdamW. On a CPU everything is held on one
core; each line is the median of some rounds of ours and of theirs in turn, each a new process.
The peer answers from an environment of its own (benchmarks/peers.txt).

    python benchmarks/train.py [peers=peers/bin/python] [rounds=3] [seconds=20] [folder=/tmp/train]
    python benchmarks/train.py device=cuda [peers=peers/bin/python] [workers=8]

On a GPU: bf16, 128^3, 21 M parameters, in the loop of training; benchmarks/gpu.py says where the
time goes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

NEIGHBORHOOD = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 0, 0], [0, 3, 0], [0, 0, 3],
                [9, 0, 0], [0, 9, 0], [0, 0, 9]]  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "cpu": {"input": 76, "output": 36, "num_fmaps": 8, "inc_factor": 3, "levels": 2, "same": False},
    "cuda": {"input": 128, "output": 128, "num_fmaps": 32, "inc_factor": 2, "levels": 4,
             "same": True},
}  # fmt: skip


def overrides(asked: dict[str, Any]) -> list[str]:
    """The run as a command line."""
    size = SIZES[asked["device"]]
    down = [[2, 2, 2]] * size["levels"]
    path = asked["path"]
    return [
        f"task.neighborhood={json.dumps(NEIGHBORHOOD)}",
        f"architecture.input_shape={[size['input']] * 3}",
        "architecture.eval_shape_increase=null",
        f"architecture.downsample_factors={json.dumps(down)}",
        f"architecture.num_fmaps={size['num_fmaps']}",
        f"architecture.fmap_inc_factor={size['inc_factor']}",
        f"architecture.padding={'same' if size['same'] else 'valid'}",
        "trainer/augments=[mirror,elastic,intensity]",
        "trainer.augments.elastic.p=1",
        f"trainer.device={asked['device']}",
        f"trainer.precision={asked['precision']}",
        f"trainer.num_workers={asked['workers']}",
        "trainer.num_threads=1" if asked["device"] == "cpu" else "trainer.num_threads=null",
        f"trainer.channels_last={asked.get('channels_last', 'null')}",
        "datasplit.in_memory_mib=0",  # both read from the disk
        "datasplit=volumes", f"datasplit.raw={path}/raw", f"datasplit.gt={path}/labels",
        "datasplit.train={a: {region: {z: [0, 1400]}}}",
        "datasplit.validate={b: {region: {z: [1600, 2048]}}}",
        "num_iterations=1000000",
    ]  # fmt: skip


class Silent:
    """In place of loggers and progress."""

    def step(self, stats: object) -> None: ...

    def log_step(self, stats: object, batch: object) -> None: ...


def ours(asked: dict[str, Any]) -> dict[str, float]:
    """Iterations a second and peak memory of our loop."""
    import time

    import torch
    from hydra import compose, initialize_config_dir

    from dacapo.config import conf_dir
    from dacapo.experiments.run import Run
    from dacapo.experiments.run_config import RunConfig
    from dacapo.processes.memory import peak_memory_mib
    from dacapo.runs import NoWriter
    from dacapo.training.steps import Steps

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        run = Run(RunConfig.from_hydra(compose("train", overrides=overrides(asked))))
    if asked["device"] == "cuda" and (why := run.train_state.compile(1)):
        sys.stderr.write(f"not compiled: {why}\n")
    silent: Any = Silent()
    steps = Steps(run, 0, NoWriter(), silent, silent)
    for _ in range(asked["warm_up"]):
        steps.next()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < asked["seconds"]:
        steps.next()
        count += 1
    steps.finish()
    found = {"rate": count / (time.perf_counter() - begin), "memory": peak_memory_mib()}
    found["parameters"] = float(sum(p.numel() for p in run.model.parameters()))
    if asked["device"] == "cuda":
        found["memory"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def measured(python: str, script: str, asked: dict[str, Any]) -> dict[str, float]:
    """What a new process says; on a CPU it has one core."""
    command = [python, str(Path(__file__).with_name(script)), "measure", json.dumps(asked)]
    if asked["device"] == "cpu":
        command = ["taskset", "-c", "0", *command]
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    if asked["device"] == "cpu":
        environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(ours(json.loads(sys.argv[2]))), flush=True)
        return
    from benchmarks.crops import make_volume

    options = dict(a.split("=", 1) for a in sys.argv[1:])
    folder = Path(options.get("folder", "/tmp/train"))
    folder.mkdir(parents=True, exist_ok=True)
    device = options.get("device", "cpu")
    asked = {
        "device": device,
        "path": str(make_volume(folder, "uint16")),
        "seconds": float(options.get("seconds", 20)),
        "workers": int(options.get("workers", 0 if device == "cpu" else 4)),
        "precision": options.get("precision", "fp32" if device == "cpu" else "bf16"),
        "channels_last": options.get("channels_last", "null"),
        "warm_up": 3 if device == "cpu" else 20,
        "neighborhood": NEIGHBORHOOD,
        **SIZES[device],
    }
    found: dict[str, list[dict[str, float]]] = {"ours": [], "gunpowder": []}
    for _ in range(int(options.get("rounds", 3 if device == "cpu" else 1))):
        found["ours"].append(measured(sys.executable, "train.py", asked))
        if "peers" in options:
            found["gunpowder"].append(measured(options["peers"], "peer_train.py", asked))
    for name, rounds in found.items():
        for key in rounds[0] if rounds else ():
            print(f"{name:10} {key:12} {median(r[key] for r in rounds):.4g}")
    if found["gunpowder"]:
        for key in ("rate", "memory"):
            one, other = (median(r[key] for r in found[n]) for n in ("ours", "gunpowder"))
            print(f"ratio      {key:12} {one / other:.2f}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
