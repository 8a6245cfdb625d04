"""Everything about speed on one GPU, in one call of a few minutes; it needs no package beyond the
install.

Trains the U-Net of benchmarks/train.py: 21.4 M parameters, 128^3, bf16, everything on. Each section
is a process of its own, and one that fails does not end the others. Writes gpu.json and prints the
same as text.

    python benchmarks/gpu.py [only=batch,loop] [flyem=FILE.h5] [out=/tmp/gpu] [seconds=10]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

EDGE, TILE = 512, 256
Found = dict[str, Any]


def make_volume(folder: Path) -> Path:
    """Tissue of 256^3, mirrored to fill 512^3; raw uint8, labels uint16."""
    import h5py
    import numpy as np

    from dacapo.ops.synthetic import tissue

    path = folder / "volume.h5"
    if path.exists():
        return path
    made = tissue((TILE,) * 3, (8, 8, 8), 24.0, 0.08, (0, 0))
    new = path.with_suffix(".part")
    with h5py.File(new, "w") as file:
        for name, dtype in (("raw", "uint8"), ("labels", "uint16")):
            array = file.create_dataset(name, (EDGE,) * 3, dtype, chunks=(64,) * 3)
            array.attrs.update(
                {"voxel_size": [8] * 3, "offset": [0] * 3, "units": "nm",
                 "axis_names": ["z", "y", "x"]}
            )  # fmt: skip
            for number, corner in enumerate(np.ndindex(2, 2, 2)):
                place = tuple(slice(TILE * c, TILE * (c + 1)) for c in corner)
                flips = tuple(slice(None, None, -1 if c % 2 else 1) for c in corner)
                ids = 1 + (made.cells[flips] + 8000 * number) % 65535
                array[place] = made.raw[flips].astype(dtype) if name == "raw" else ids.astype(dtype)
    new.rename(path)
    return path


def run_of(path: Path, *more: str) -> Any:
    """The run that is measured."""
    from hydra import compose, initialize_config_dir

    from benchmarks.train import SIZES, overrides
    from dacapo.config import conf_dir
    from dacapo.experiments.run import Run
    from dacapo.experiments.run_config import RunConfig

    asked = {
        "device": "cuda",
        "precision": "bf16",
        "workers": "auto",
        "path": path,
        **SIZES["cuda"],
    }
    of_train = [
        line for line in overrides(asked)
        if not line.startswith(("datasplit", "num_iterations"))
    ]  # fmt: skip
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose(
            "train",
            overrides=[
                *of_train, "datasplit=regions", f"datasplit.raw={path}:raw",
                f"datasplit.gt={path}:labels", "datasplit.buffer=80", "num_iterations=1000000",
                *more,
            ],
        )  # fmt: skip
    return Run(RunConfig.from_hydra(config))


def device_ms(function: Callable[[], object], num: int = 20) -> float:
    """Median milliseconds on the device."""
    import torch

    times = []
    for index in range(num + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        torch.cuda.synchronize()
        if index >= 3:
            times.append(begin.elapsed_time(end))
    return median(times)


def ceilings(_: Found) -> Found:
    """Of the card: copying, and a matrix product."""
    import torch

    source = torch.randn(2**29, device="cuda")
    copied = torch.empty_like(source)
    copy = 2 * source.numel() * 4 / device_ms(lambda: copied.copy_(source)) / 1e6
    x, y = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    flops = 2 * 8192**3 / device_ms(lambda: x @ y) / 1e9
    return {
        "card": torch.cuda.get_device_name(), "torch": torch.__version__,
        "copy_gb_per_s": copy, "matmul_tflop_per_s": flops,
    }  # fmt: skip


def batch(asked: Found) -> Found:
    """Batches alone: milliseconds of the device for each part, and batches a second by threads."""
    import torch

    from dacapo.experiments.trainers.augments import Elastic
    from dacapo.experiments.trainers.augments.geometric import Extent
    from dacapo.ops.affinities import balanced_affinities
    from dacapo.ops.draws import generator
    from dacapo.ops.warp import warp_linear, warp_nearest
    from dacapo.processes.prefetch import prefetch

    run = run_of(Path(asked["path"]))
    found: Found = {}
    shape, size = run.model.input_shape, run.sample_shape.input_voxel_size
    warp = Elastic(p=1).warp(Extent(shape * size, size), generator(1))
    begin, box = warp.source_of(shape, size)
    raw = torch.randint(255, (1, *box), device="cuda", dtype=torch.uint8)
    labels = torch.randint(2000, box, device="cuda", dtype=torch.int32)
    level = torch.ones(1, device="cuda")
    found["warp_raw_ms"] = device_ms(
        lambda: warp_linear(raw, begin, warp, shape, size, level, level)
    )
    context = [n + 18 for n in shape]
    found["warp_labels_ms"] = device_ms(lambda: warp_nearest(labels, begin, warp, context, size))
    gt = warp_nearest(labels, begin, warp, context, size)[0][None]
    mask = torch.ones_like(gt, dtype=torch.uint8)
    region = (slice(9, 137),) * 3
    offsets = run.task.predictor.neighborhood
    found["targets_ms"] = device_ms(lambda: balanced_affinities(gt, mask, offsets, region, 20.0))
    maker = run.trainer.batch_maker(run.datasplit.train, run.task.predictor, run.sample_shape)
    for iteration in range(5):
        maker.batch(0, iteration)
    busy, _ = device_busy(lambda: [maker.batch(0, i) for i in range(100, 120)])
    found["device_ms_per_batch"] = busy / 20
    begin_at = time.perf_counter()
    for iteration in range(200, 230):
        maker.batch(0, iteration)
        torch.cuda.synchronize()
    found["ms_one_thread_synchronised"] = (time.perf_counter() - begin_at) / 30 * 1e3
    for threads in (1, 2, 4, 8):
        batches = prefetch(lambda i: maker.batch(0, i), 1000, 10**9, threads)
        for _ in range(10):
            next(batches)
        begin_at, count = time.perf_counter(), 0
        while time.perf_counter() - begin_at < asked["seconds"] / 3:
            next(batches).wait()
            count += 1
        torch.cuda.synchronize()
        found[f"per_s_{threads}_threads"] = count / (time.perf_counter() - begin_at)
        batches.close()
    return found


def device_busy(function: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds during which the device does something, and all of them."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    begin = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        begin = time.perf_counter()
        function()
        torch.cuda.synchronize()
        whole = (time.perf_counter() - begin) * 1e3
    spans = sorted(
        (e.time_range.start, e.time_range.end) for e in profiler.events()
        if e.device_type == torch.autograd.DeviceType.CUDA
    )  # fmt: skip
    busy, until = 0.0, 0.0
    for first, last in spans:
        busy += max(0.0, last - max(first, until))
        until = max(until, last)
    return busy / 1e3, whole


def step(asked: Found) -> Found:
    """The step by itself, on one batch: eager and compiled, with channels first and last."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    found: Found = {}
    flops = 0.0
    for layout in ("true", "false"):
        for compiled in (False, True):
            run = run_of(Path(asked["path"]), f"trainer.channels_last={layout}")
            one = next(run.batches(0))
            name = (
                f"{'compiled' if compiled else 'eager'}_{'last' if layout == 'true' else 'first'}"
            )
            if not flops:
                with FlopCounterMode(display=False) as counter:
                    run.train_step(one)
                flops = float(counter.get_total_flops())
                found["teraflop"] = flops / 1e12
            begin = time.perf_counter()
            if compiled and (why := run.train_state.compile(1)):
                found[name] = why
                continue
            for _ in range(5):
                run.train_step(one)
            if compiled:
                found[f"{name}_seconds_to_compile"] = time.perf_counter() - begin
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(40):
                run.start_step(one)
            torch.cuda.synchronize()
            rate = 40 / (time.perf_counter() - begin)
            found[f"{name}_per_s"], found[f"{name}_tflop_per_s"] = rate, rate * flops / 1e12
            torch._dynamo.reset()
            del run, one
    return found


@contextmanager
def looped(asked: Found, *more: str) -> Iterator[tuple[Any, Any]]:
    """A run with a compiled network, and its steps."""
    from benchmarks.train import Silent
    from dacapo.runs import NoWriter
    from dacapo.training.steps import Steps

    run = run_of(Path(asked["path"]), *more)
    if asked.get("compile", True) and (why := run.train_state.compile(1)):
        print(f"not compiled: {why}", file=sys.stderr)
    silent: Any = Silent()
    steps = Steps(run, 0, NoWriter(), silent, silent)
    for _ in range(30):
        steps.next()
    yield run, steps
    steps.finish()


def loop(asked: Found) -> Found:
    """The whole loop, as in training, and the share of the time without work on the device."""
    import torch

    from dacapo.training.terminal import rates

    found: Found = {}
    for workers in asked.get("workers", ["auto"]):
        with looped(asked, f"trainer.num_workers={workers}") as (run, steps):
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < asked["seconds"]:
                steps.next()
                count += 1
            steps.finish()
            torch.cuda.synchronize()
            rate = count / (time.perf_counter() - begin)
            alone = rates(run.training_stats)[1]
            busy, whole = device_busy(lambda: [steps.next() for _ in range(60)])
            found |= {
                f"{workers}_per_s": rate, f"{workers}_alone_per_s": alone,
                f"{workers}_of_alone": rate / alone, f"{workers}_device_idle": 1 - busy / whole,
                f"{workers}_profiled_per_s": 60e3 / whole,
                f"{workers}_threads": steps._batches.num_workers,
                "memory_mib": torch.cuda.max_memory_allocated() / 2**20,
            }  # fmt: skip
            torch._dynamo.reset()
    return found


def profile(asked: Found) -> Found:
    """Where the time of the loop goes."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with looped(asked) as (_, steps), recorded(activities=activities) as profiler:
        for _ in range(10):
            steps.next()
        torch.cuda.synchronize()
    averages = profiler.key_averages()
    for by in ("self_cuda_time_total", "self_cpu_time_total"):
        print(averages.table(sort_by=by, row_limit=18, max_name_column_width=60), file=sys.stderr)
    return {}


def flyem(asked: Found) -> Found:
    """`experiment=flyem` from the command to its end, with the seconds at which it says what."""
    file = asked["flyem"]
    found: Found = {}
    for compiled in asked.get("compiled", ["auto"]):
        command = [
            sys.executable, "-u", "-m", "dacapo.train", "experiment=flyem",
            f"datasplit.raw={file}:raw", f"datasplit.gt={file}:labels",
            f"runs_dir={asked['out']}/runs_{compiled}", f"trainer.compile={compiled}",
        ]  # fmt: skip
        begin = time.perf_counter()
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                seconds = time.perf_counter() - begin
                print(f"{seconds:6.1f} {line.rstrip()}", file=sys.stderr)
                if "it/s" in line and "step by itself" in line:
                    found[f"{compiled}_speed"] = line.strip()[:70]
        found[f"{compiled}_seconds"] = time.perf_counter() - begin
        found[f"{compiled}_status"] = process.returncode
    return found


def predict(asked: Found) -> Found:
    """Prediction of the validation volume beside the bare forward pass of its blocks."""
    import torch

    from dacapo.inference.blocks import predict as predicted

    run = run_of(
        Path(asked["path"]), "architecture.padding=valid", "architecture.input_shape=[132,132,132]",
        "architecture.downsample_factors=[[2,2,2],[2,2,2],[2,2,2]]",
    )  # fmt: skip
    model, state = run.model, run.train_state
    model.eval()
    block = model.eval_input_shape
    raw = torch.rand((1, 1, *block), device="cuda")
    out = model.compute_output_shape(block)[1]
    with torch.no_grad():
        bare = device_ms(lambda: state.forward(raw), 10)
    voxels = out[0] * out[1] * out[2]
    predicted(run, run.datasplit.validate[0])
    begin = time.perf_counter()
    made = predicted(run, run.datasplit.validate[0])
    seconds = time.perf_counter() - begin
    whole = made.shape[-3] * made.shape[-2] * made.shape[-1]
    return {
        "bare_mvoxel_per_s": voxels / bare / 1e3, "predict_mvoxel_per_s": whole / seconds / 1e6,
        "of_bare": (whole / seconds) / (voxels / bare * 1e3),
    }  # fmt: skip


SECTIONS = (ceilings, batch, step, loop, profile, predict, flyem)


def main() -> None:
    if sys.argv[1:2] == ["measure"]:
        asked = json.loads(sys.argv[2])
        section = next(s for s in SECTIONS if s.__name__ == asked["section"])
        print(json.dumps(section(asked)), flush=True)
        os._exit(0)
    options = dict(a.split("=", 1) for a in sys.argv[1:])
    out = Path(options.get("out", "/tmp/gpu"))
    out.mkdir(parents=True, exist_ok=True)
    asked: Found = {
        "path": str(make_volume(out)), "out": str(out),
        "seconds": float(options.get("seconds", 10)),
        "flyem": options.get("flyem"), "compiled": options.get("compiled", "auto").split(","),
    }  # fmt: skip
    wanted = options.get("only", ",".join(s.__name__ for s in SECTIONS)).split(",")
    environment = {**os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    found: Found = {}
    for section in SECTIONS:
        name = section.__name__
        if name not in wanted or (name == "flyem" and not asked["flyem"]):
            continue
        begin = time.perf_counter()
        command = [sys.executable, __file__, "measure", json.dumps({**asked, "section": name})]
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
        (out / f"{name}.log").write_text(done.stderr)
        lines = done.stdout.splitlines()
        is_done = done.returncode == 0 and bool(lines)
        found[name] = json.loads(lines[-1]) if is_done else {"error": done.stderr[-2000:]}
        print(f"\n{name} ({time.perf_counter() - begin:.0f} s)", flush=True)
        for key, value in found[name].items():
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            print(f"  {key:34} {text}")
        (out / "gpu.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
