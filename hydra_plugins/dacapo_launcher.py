"""`hydra/launcher=local` and `hydra/launcher=slurm`: what Hydra needs to find them.

What they do is in `dacapo.sweeps.launch`; nothing heavy is imported here, because Hydra loads every
plugin at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

import dacapo.launching.config  # noqa: F401 (offers the keys to Hydra)


class _Launcher(BaseSubmititLauncher):  # type: ignore[misc]
    """Hands the jobs to `dacapo.sweeps.launch`; the job itself is run by the class above."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        # The class above reads this key.
        self.params["submitit_folder"] = self.params["folder"]

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from dacapo.sweeps.launch import launch

        return launch(self, job_overrides, initial_job_idx)


class LocalLauncher(_Launcher):
    """Processes on this machine."""

    _EXECUTOR = "local"


class SlurmLauncher(_Launcher):
    """Jobs of a SLURM cluster."""

    _EXECUTOR = "slurm"
