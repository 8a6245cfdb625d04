"""A trainer as somebody adds one from outside, with its script and its yaml; not a test."""

from __future__ import annotations

from pathlib import Path

# A trainer of somebody's own: it takes its time, and has an error for some repetitions.
SLOW = '''
import os
import time
from dataclasses import dataclass, field
from dacapo.config import config, not_identity
from dacapo.experiments.trainers import DefaultTrainerConfig

@config("trainer")
@dataclass(kw_only=True)
class SlowTrainerConfig(DefaultTrainerConfig):
    """Waits before each batch."""
    repetition: int = not_identity(0)
    """Of the run."""
    pause: float = not_identity(0.5)
    """Seconds before each batch."""
    slow: list[int] = field(default_factory=list, metadata={"identity": False})
    """Repetitions that wait six times as long."""
    broken: list[int] = field(default_factory=list, metadata={"identity": False})
    """Repetitions that raise."""

    def build(self):
        print('GPUs:', os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)
        trainer = super().build()
        batches = trainer.batches
        def slowly(*arguments):
            for batch in batches(*arguments):
                time.sleep(self.pause * (6 if self.repetition in self.slow else 1))
                if self.repetition in self.broken and batch.iteration == 3:
                    raise RuntimeError(f"a bug in repetition {self.repetition}")
                yield batch
        trainer.batches = slowly
        return trainer
'''
SCRIPT = "import slow\nfrom dacapo.train import main\nif __name__ == '__main__':\n    main()\n"
YAML = "defaults: [SlowTrainerConfig, _self_]\nrepetition: ${repetition}\n"


def write_script(folder: Path) -> None:
    """`python train.py --config-dir conf trainer=slow`."""
    (folder / "slow.py").write_text(SLOW)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "conf" / "trainer").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "trainer" / "slow.yaml").write_text(YAML)
