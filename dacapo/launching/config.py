"""Keys of `hydra/launcher=local` and `hydra/launcher=slurm`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass(kw_only=True)
class LauncherConfig:
    """Run each job of a sweep in a process of its own."""

    check_data: bool = True
    """Open the data of every job before the first one starts."""
    time: str = ""
    """How long a job may take until it saves itself and starts again: minutes, or
    [days-]hours:minutes:seconds, in quotes in a yaml; 24 hours under SLURM and no limit on this
    machine by default."""
    max_timeouts: int = 20
    """How often a job may be started again after its time limit or for another job."""
    signal_delay: int = 120
    """Seconds before the time limit at which a job is asked to save itself; a validation that has
    begun is finished first, so give more than one takes."""
    folder: str = "${hydra.sweep.dir}/jobs"
    """Where the jobs' logs lie."""


@dataclass(kw_only=True)
class LocalConfig(LauncherConfig):
    """Run the jobs of a sweep on this machine, some at once, each with a GPU of its own."""

    _target_: str = "hydra_plugins.dacapo_launcher.LocalLauncher"
    at_once: int | None = None
    """Jobs at a time (default: one per GPU; without GPUs, one)."""
    gpus: list[int] | None = None
    """GPUs that are shared out, one a job (default: all that are visible; []: none)."""
    threads: int | None = None
    """Threads of each job (default: the cores shared out alike)."""


@dataclass(kw_only=True)
class SlurmConfig(LauncherConfig):
    """Run the jobs of a sweep on a SLURM cluster, as one array."""

    _target_: str = "hydra_plugins.dacapo_launcher.SlurmLauncher"
    at_once: int = 256
    """Jobs at a time."""
    partition: str | None = None
    """To run in (default: the cluster's)."""
    account: str | None = None
    """To charge."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that a node must have."""
    nodes: int = 1
    """Machines a job."""
    processes: int = 1
    """On each of them, training one run together; trainer.micro_batches must be a multiple of all
    of them."""
    cpus: int = 4
    """Cores a process."""
    gpus: int = 0
    """GPUs a machine: one a process."""
    memory: float | None = None
    """GB a job (default: the cluster's)."""
    setup: list[str] = field(default_factory=list)
    """Shell commands before a job, such as `module load cuda`."""
    sbatch: dict[str, Any] = field(default_factory=dict)
    """More options of sbatch, such as {mail-type: END}."""
    wait: bool = True
    """Wait for the jobs and compare them; false: submit and return."""


for _name, _node in (("local", LocalConfig), ("slurm", SlurmConfig)):
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_node)
