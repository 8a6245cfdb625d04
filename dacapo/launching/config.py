"""Options of `hydra/launcher=local` and `hydra/launcher=slurm`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass(kw_only=True)
class LauncherConfig:
    """Run each job of a sweep in its own process."""

    check_data: bool = True
    """Before the first job starts, open the data and build the network of every job, and see
    whether the disk is large enough for its files."""
    time: str = ""
    """Time limit, at which a job saves itself and is started again: minutes, minutes:seconds or
    [days-]hours:minutes:seconds (quoted in a yaml), or seconds like 90s (default: 24 hours under
    SLURM, no limit on this machine)."""
    max_timeouts: int = 20
    """How often a job may be started again after its time limit or a preemption."""
    signal_delay: int = 120
    """Seconds before the time limit at which a job is asked to save itself. It finishes a
    validation first, so this must be longer than a validation takes."""
    folder: str = ""
    """Folder in which the sweep gets a folder of its own, for the jobs' logs and for what jobs are
    sent; on a disk that all nodes share (default: ~/.local/state/dacapo/jobs)."""


@dataclass(kw_only=True)
class LocalConfig(LauncherConfig):
    """Run the jobs of a sweep on this machine, several at a time, each with its own GPU."""

    _target_: str = "hydra_plugins.dacapo_launcher.LocalLauncher"
    at_once: int | None = None
    """Jobs at a time (default: one per GPU; without GPUs, one). More than there are GPUs share
    them: small networks use a tenth of a large one."""
    gpus: list[str] | None = None
    """GPUs to use, by number or UUID (default: all visible ones; []: none)."""
    threads: int | None = None
    """Threads of each job (default: an equal share of the cores)."""


@dataclass(kw_only=True)
class SlurmConfig(LauncherConfig):
    """Run the jobs of a sweep on a SLURM cluster, as one array."""

    _target_: str = "hydra_plugins.dacapo_launcher.SlurmLauncher"
    at_once: int = 256
    """Jobs at a time."""
    partition: str | None = None
    """Partition (default: the cluster's)."""
    account: str | None = None
    """Account to charge."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that nodes must have."""
    nodes: int = 1
    """Nodes per job."""
    processes: int = 1
    """Processes per node. All processes of a job train one run together; trainer.micro_batches must
    be a multiple of their number."""
    cpus: int = 4
    """Cores per process."""
    gpus: int = 0
    """GPUs per node: one per process, or none."""
    memory: float | None = None
    """Memory per node in GB (default: the cluster's)."""
    setup: list[str] = field(default_factory=list)
    """Shell commands before a job, such as `module load cuda`."""
    sbatch: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch, such as {mail-type: END}."""
    wait: bool = True
    """Wait for the jobs and compare their runs; false: submit and return."""


for _name, _node in (("local", LocalConfig), ("slurm", SlurmConfig)):
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_node)
