"""How long status and compare take for many finished runs, and how much memory.

python benchmarks/collect.py [runs=1000] [own=true] [folder=/tmp/collect]

With own=true every run has volumes, settings and iterations of its own.
"""

from __future__ import annotations

import os
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

VALIDATIONS, INTERVAL = 20, 50
DATASETS, PARAMETERS, CRITERIA = 2, 12, 9
SETTINGS = ["name=n0", "num_iterations=1000"]
TIMED = """
import sys, time, resource
begin = time.perf_counter()
if sys.argv[2] == "status":
    from dacapo.status import StatusConfig, status
    status(StatusConfig(runs_dir=sys.argv[1]))
else:
    from pathlib import Path
    from dacapo.comparison.tables import compare
    compare(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"TIMED {time.perf_counter() - begin:.2f} {peak:.0f}")
"""


def write_run(
    folder: RunFolder, rng: np.random.Generator, document: dict[str, object], own: int = 0
) -> None:
    header = ScoreHeader(
        [f"dataset{i}" for i in range(own * DATASETS, (own + 1) * DATASETS)],
        [
            {"label": f"bias={i}", "bias": float(i)}
            for i in range(own * PARAMETERS, (own + 1) * PARAMETERS)
        ],
        [{"name": f"criterion{i}", "higher_is_better": i % 2} for i in range(CRITERIA)],
        "criterion0",
    )
    with folder.writing(document) as writer:
        writer.begin(0, header)
        for iteration in range(VALIDATIONS * INTERVAL + own):
            writer.add_step(TrainingIterationStats(iteration, rng.random(), 0.1, 0.0))
            done = iteration + 1 - own
            if done > 0 and done % INTERVAL == 0:
                scores = rng.random((DATASETS, PARAMETERS, CRITERIA)).tolist()
                writer.add_scores(ValidationIterationScores(iteration + 1, scores))
        writer.finish("done", peak_memory_mib=1.0, num_parameters=1)


def make_own(runs_dir: Path, count: int) -> None:
    """Runs that share no volume, no setting and few iterations."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        run_config = RunConfig.from_hydra(compose("train", overrides=SETTINGS))
    rng = np.random.default_rng(0)
    for index in range(count):
        run_config.name = f"n{index}"
        document = RunRequest(overrides=SETTINGS).document(run_config)
        write_run(RunFolder(runs_dir / f"n{index}" / "0"), rng, document, index)


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


def timed(runs_dir: Path, what: str, cache: str) -> tuple[float, float]:
    """Seconds and peak MiB of one command in a fresh process."""
    command = [sys.executable, "-c", TIMED, str(runs_dir), what]
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    line = next(line for line in done.stdout.splitlines() if line.startswith("TIMED"))
    _, seconds, peak = line.split()
    return float(seconds), float(peak)


def main() -> None:
    asked = dict(a.split("=", 1) for a in sys.argv[1:])
    count = int(asked.get("runs", 1000))
    with tempfile.TemporaryDirectory(dir=asked.get("folder")) as folder:
        runs_dir, cache = Path(folder) / "runs", str(Path(folder) / "cache")
        begin = time.perf_counter()
        (make_own if asked.get("own") == "true" else make)(runs_dir, count)
        print(f"{count} runs written in {time.perf_counter() - begin:.0f} s", flush=True)
        for what in ("status", "status", "compare", "compare"):
            seconds, peak = timed(runs_dir, what, cache)
            print(f"{what}: {seconds:.1f} s, {peak:.0f} MiB", flush=True)
        logs = sum(p.stat().st_size for p in runs_dir.glob("*/*/log-*.bin")) / 2**20
        size = (runs_dir / "comparison.nc").stat().st_size / 2**20
        print(f"the logs have {logs:.0f} MiB, the Dataset {size:.0f} MiB")


if __name__ == "__main__":
    main()
