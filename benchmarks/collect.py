"""How long it takes to collect many finished runs, and how much memory.

python benchmarks/collect.py [runs=1000] [folder=/tmp/collect]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from dacapo.config import conf_dir
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.run_config import RunConfig
from dacapo.experiments.score_table import ScoreHeader
from dacapo.runs import RunFolder
from dacapo.sweeps.plan import RunRequest

VALIDATIONS, INTERVAL = 100, 100
DATASETS, PARAMETERS, CRITERIA = 5, 20, 12
SETTINGS = ["name=n0", "num_iterations=10000"]
TIMED = """
import sys, time, resource
from pathlib import Path
from dacapo.compare import compare
begin = time.perf_counter()
compare(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"TIMED {time.perf_counter() - begin:.2f} {peak:.0f}")
"""


def write_run(folder: RunFolder, rng: np.random.Generator, document: dict[str, object]) -> None:
    header = ScoreHeader(
        [f"dataset{i}" for i in range(DATASETS)],
        [{"label": f"bias={i}", "bias": float(i)} for i in range(PARAMETERS)],
        [{"name": f"criterion{i}", "higher_is_better": i % 2} for i in range(CRITERIA)],
        "criterion0",
    )
    with folder.writing(document) as writer:
        writer.begin(0, header)
        for iteration in range(VALIDATIONS * INTERVAL):
            writer.add_step(TrainingIterationStats(iteration, rng.random(), 0.1, 0.0))
            done = iteration + 1
            if done % INTERVAL == 0:
                scores = rng.random((DATASETS, PARAMETERS, CRITERIA)).tolist()
                writer.add_scores(ValidationIterationScores(done, scores))
        writer.finish("done", peak_memory_mib=1.0, num_parameters=1)


def make(runs_dir: Path, count: int) -> None:
    """One run, and copies of it under other names."""
    first = RunFolder(runs_dir / "n0" / "0")
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        run_config = RunConfig.from_hydra(compose("train", overrides=SETTINGS))
    write_run(first, np.random.default_rng(0), RunRequest(overrides=SETTINGS).document(run_config))
    text = (first.path / "config.yaml").read_text()
    for index in range(1, count):
        name, repetition = f"n{index // 10}", index % 10
        path = runs_dir / name / str(repetition)
        # The logs name the first run; that changes nothing of what it takes to read them.
        shutil.copytree(first.path, path)
        changed = text.replace("name: n0", f"name: {name}")
        changed = changed.replace("repetition: 0", f"repetition: {repetition}")
        (path / "config.yaml").write_text(changed)


def timed(runs_dir: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one collection in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, str(runs_dir)], capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("TIMED"))
    _, seconds, peak = line.split()
    return float(seconds), float(peak)


def main() -> None:
    asked = dict(a.split("=", 1) for a in sys.argv[1:])
    count = int(asked.get("runs", 1000))
    with tempfile.TemporaryDirectory(dir=asked.get("folder")) as folder:
        runs_dir = Path(folder)
        begin = time.perf_counter()
        make(runs_dir, count)
        print(f"{count} runs written in {time.perf_counter() - begin:.0f} s")
        for what in ("at first", "again", "again"):
            seconds, peak = timed(runs_dir)
            print(f"{what}: {seconds:.1f} s, {peak:.0f} MiB")
        size = (runs_dir / "comparison.nc").stat().st_size / 2**20
        print(f"the Dataset has {size:.0f} MiB")


if __name__ == "__main__":
    main()
