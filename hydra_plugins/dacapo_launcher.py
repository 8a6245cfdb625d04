"""Plugins through which Hydra finds `hydra/launcher=local` and `hydra/launcher=slurm`.

The work is done in `dacapo.sweeps.launch`. Nothing heavy is imported here, because Hydra loads all
plugins at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

import dacapo.launching.config  # noqa: F401 (offers the keys to Hydra)


class _Launcher(BaseSubmititLauncher):  # type: ignore[misc]
    """Passes the jobs to `dacapo.sweeps.launch`; the base class runs a single job."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        # The base class reads this key.
        self.params["submitit_folder"] = self.params["folder"]

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from dacapo.sweeps.launch import launch

        return launch(self, job_overrides, initial_job_idx)


class LocalLauncher(_Launcher):
    """Runs jobs in processes on this machine."""

    _EXECUTOR = "local"


class SlurmLauncher(_Launcher):
    """Runs jobs on a SLURM cluster."""

    _EXECUTOR = "slurm"
