"""A SLURM of one node on this machine, with accounting, for the tests; no systemd, no cgroups.

It needs root and Debian's packages slurm-wlm, slurmdbd, munge and mariadb-server. Everything that
it writes lies in one folder, and nothing of a SLURM that exists already is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db")
NUM_CPUS = 4
"""That the node claims to have, whatever the machine has."""


def missing() -> list[str]:
    """What a machine lacks to run it."""
    lacks = [p for p in PROGRAMS if shutil.which(p, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    return lacks if os.geteuid() == 0 else ["root", *lacks]


class Slurm:
    """Starts a cluster; `environment` leads commands to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.environment["PATH"] += ":/usr/sbin"
        for name in ("state", "spool", "log", "run", "db"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o755)

    def start(self) -> None:
        """All daemons, each as soon as the one it needs answers."""
        self._munge()
        self._database()
        self._write_configs()
        self._run("slurmdbd", MYSQL_UNIX_PORT=str(self._run_file("db.sock")))
        self._wait(lambda: self._works("sacctmgr", "-n", "show", "cluster"))
        self._works("sacctmgr", "-iQ", "add", "cluster", "test")
        self._run("slurmctld")
        self._wait(lambda: self._works("scontrol", "ping"))
        self._run("slurmd")
        self._wait(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"))

    def stop(self) -> None:
        """End all jobs and daemons."""
        self._works("scancel", "--full", "--user=root")
        time.sleep(1)
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            file = self._run_file(f"{name}.pid")
            if not file.exists():
                continue
            pid = int(file.read_text())
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
            if name == "mariadbd":
                self._mariadb.wait(60)
            else:
                self._wait(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]

    def ask(self, *command: str) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    def logs(self) -> str:
        """The ends of all daemons' logs."""
        return "\n".join(p.read_text()[-3000:] for p in self._folder.glob("log/*.log"))

    def _run_file(self, name: str) -> Path:
        return self._folder / "run" / name

    def _works(self, *command: str) -> bool:
        return (
            subprocess.run(
                command, env=self.environment, capture_output=True, timeout=60, check=False
            ).returncode
            == 0
        )

    def _run(self, *command: str, **environment: str) -> None:
        """A program that goes into the background."""
        subprocess.run(command, env={**self.environment, **environment}, check=True)

    def _wait(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"SLURM does not get ready\n{self.logs()}")
            time.sleep(0.2)

    def _munge(self) -> None:
        key = self._folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self._run(
            "munged", f"--key-file={key}", f"--socket={self._run_file('munge.sock')}",
            f"--pid-file={self._run_file('munged.pid')}", f"--seed-file={self._folder / 'seed'}",
            f"--log-file={self._folder / 'log' / 'munged.log'}",
        )  # fmt: skip

    def _database(self) -> None:
        data, sock = self._folder / "db", self._run_file("db.sock")
        self._works("useradd", "--system", "--no-create-home", "mysql")
        for path in (data, sock.parent):
            shutil.chown(path, "mysql")
        log = (self._folder / "log" / "mariadb.log").open("wb")
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}",
             "--auth-root-authentication-method=socket", "--skip-test-db"],
            stdout=log, stderr=log, check=True,
        )  # fmt: skip
        self._mariadb = subprocess.Popen(
            ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}",
             f"--socket={sock}", "--skip-networking", "--innodb-buffer-pool-size=64M",
             f"--pid-file={self._run_file('mariadbd.pid')}", "--innodb-lock-wait-timeout=900"],
            stdout=log, stderr=log, env=self.environment,
        )  # fmt: skip
        client = ["mariadb", "--no-defaults", f"--socket={sock}", "--execute"]
        self._wait(lambda: self._works(*client, "select 1"))
        make = (
            "create database slurm_acct_db; create user slurm@localhost identified by 'slurm'; "
            "grant all on slurm_acct_db.* to slurm@localhost"
        )
        subprocess.run([*client, make], check=True)

    def _write_configs(self) -> None:
        folder, host = self._folder, socket.gethostname().split(".")[0]
        munge = self._run_file("munge.sock")
        accounting = folder / "slurmdbd.conf"
        accounting.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={munge}\nDbdHost=localhost\nSlurmUser=root\n"
            f"StorageType=accounting_storage/mysql\nStorageHost=localhost\nStorageUser=slurm\n"
            f"StoragePass=slurm\nLogFile={folder}/log/slurmdbd.log\n"
            f"PidFile={self._run_file('slurmdbd.pid')}\n"
        )
        accounting.chmod(0o600)
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmUser": "root",
            "AuthType": "auth/munge",
            # A job that is requeued waits until its old credential has expired.
            "AuthInfo": f"socket={munge},cred_expire=5",
            "CredType": "cred/munge",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "FirstJobId": int(time.time()) % 60_000_000,  # no id comes twice
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU",
            "SlurmdParameters": "config_overrides",  # as many cores as are declared
            "SlurmctldParameters": "preempt_send_user_signal",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "ReturnToService": 2,
            "KillWait": 5,
            "SchedulerParameters": "sched_interval=5,batch_sched_delay=0",
            "MailProg": "/bin/true",
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/spool",
            "SlurmctldPidFile": self._run_file("slurmctld.pid"),
            "SlurmdPidFile": self._run_file("slurmd.pid"),
            "SlurmctldLogFile": f"{folder}/log/slurmctld.log",
            "SlurmdLogFile": f"{folder}/log/slurmd.log",
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "localhost",
            "AccountingStoragePass": munge,
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines += [
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs={NUM_CPUS} RealMemory=8000 State=UNKNOWN",
            "PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=20",
            "PartitionName=high Nodes=ALL State=UP PriorityTier=2 PreemptMode=OFF",
        ]
        (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
