"""Training one run: alone, or as a job of a sweep, here or in a process that a launcher started.

A launcher sends a job as text, the composed config of its run: what runs is what was checked when
it was submitted, and nothing that is read decides which code is run.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import runpy
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dacapo.config import decode, encode, user_modules
from dacapo.errors import InputError, printable
from dacapo.experiments.architectures.wrapped import networks
from dacapo.experiments.preflight import preflight
from dacapo.experiments.run_config import RunConfig
from dacapo.processes.code import code_changes, code_state
from dacapo.processes.files import check_folder, check_writable
from dacapo.processes.ranks import Ranks, process_group
from dacapo.sweeps import sweep
from dacapo.sweeps.plan import RunRequest, plan_run, run_folder

if TYPE_CHECKING:
    from dacapo.experiments.run import Run
    from dacapo.experiments.validation_scores import ValidationScores
    from dacapo.runs import RunFolder, RunWriter

_MAX_CHANGES = 2**20


def train(
    run_config: RunConfig, runs_dir: Path, request: RunRequest | None = None
) -> ValidationScores:
    """Train, validate and keep everything in `runs_dir/name/repetition`.

    Calling it again resumes an interrupted run, to the same bits. For a finished run, it returns
    the scores.

    Raises:
        BusyError: another process trains this run.
        InputError: the config does not fit the data or the run's folder, or the run has failed
            twice with the same traceback and `request.retry` is not set.
    """
    from dacapo.runs import NoWriter
    from dacapo.runs.lease import refuse_if_alive_here
    from dacapo.training.terminal import console, reported

    request = request or RunRequest()
    folder = run_folder(run_config, runs_dir)
    check_folder(runs_dir, "runs_dir")
    with process_group() as ranks, ExitStack() as stack:
        console.quiet = not ranks.is_first
        plan = ranks.broadcast(lambda: plan_run(folder, run_config, request))
        if plan.action == "done":
            from dacapo.training.session import finished_scores

            return finished_scores(run_config, folder)
        plan.refuse(folder)
        refuse_if_alive_here(folder.path)  # a claim would say so after the network is built
        with reported("opening the data and building the network"):
            run = ranks.on_all_ranks(lambda: _build(run_config, folder, request, ranks))
        from dacapo.training.compiling import compile_network
        from dacapo.training.session import train_run

        is_compiled = ranks.on_all_ranks(lambda: compile_network(run, folder))
        writers: list[RunWriter] = []
        with reported(f"waiting for other processes to leave {folder.path}"):
            ranks.broadcast(
                lambda: writers.append(
                    stack.enter_context(
                        folder.writing(
                            {
                                **request.document(run_config),
                                "data": run.describe_data(),
                                "network": encode(run_config.architecture_config.resolved()),
                                "code": code_state(),
                                "machine": run.describe_machine(),
                                "compiled": is_compiled,
                            }
                        )
                    )
                )
            )
        writer = writers[0] if writers else NoWriter()
        if changes := code_changes():
            digest = hashlib.sha256(changes).hexdigest()[:8]
            writer.add_file(f"code-{digest}.diff", changes[:_MAX_CHANGES])
        return train_run(run, folder, writer, lambda: request.reason_to_prune(run, folder))


def _build(run_config: RunConfig, folder: RunFolder, request: RunRequest, ranks: Ranks) -> Run:
    """Open the data, then import torch and build the rest, before anything is written.

    A mistake leaves no trace, except of a job that a launcher has started: that one is `refused`.
    """
    try:
        check_writable(folder.path.parent.parent, "runs_dir")
        if run_config.start_config is not None and not folder.checkpoints():
            run_config.start_config.check(folder.find_weights_of)
        datasplit = preflight(run_config)
        from dacapo.experiments.run import Run
        from dacapo.inference.scoring import check_scorable

        run = Run(run_config, ranks, datasplit)
        check_scorable(run.task, run.datasplit.validate)
        return run
    except Exception as error:
        if ranks.is_first and (sweep.is_launched() or not isinstance(error, InputError)):
            with folder.writing(request.document(run_config)):
                raise  # the folder notes the error
        raise


def train_job(run_config: RunConfig, runs_dir: Path, request: RunRequest) -> float:
    """Train a run of a sweep unless it is finished or trained elsewhere; returns its best score."""
    from dacapo.runs import BusyError

    folder = run_folder(run_config, runs_dir)
    elsewhere = ("running",) if sweep.is_launched() else ("running", "waiting")
    with process_group() as ranks:
        sweep.add(folder)
        sweep.begin()
        plan = ranks.broadcast(lambda: plan_run(folder, run_config, request))
        if plan.action in ("done", "stopped", *elsewhere):
            print(printable(plan.text), flush=True)
            return sweep.objective(plan.history, run_config)
        try:
            train(run_config, runs_dir, request)
        except BusyError as error:  # another process has claimed it since
            print(printable(str(error)), flush=True)
        return sweep.objective(folder.read_history(), run_config)


def job_text(
    run_config: RunConfig,
    runs_dir: Path,
    request: RunRequest,
    number: int,
    environment: Mapping[str, str],
) -> str:
    """All that another process needs to train a run, as text.

    Args:
        number: of the job in its sweep.
        environment: variables to set first.
    """
    modules = {*user_modules(), *(make.__module__ for make in networks.values())}
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None) if "__main__" in modules else None
    plain: dict[str, Any] = {
        "config": encode(run_config),
        "runs_dir": str(runs_dir.absolute()),
        "choices": request.choices,
        "overrides": request.overrides,
        "retry": request.retry,
        "halving": encode(request.halving),
        "number": number,
        "environment": dict(environment),
        "modules": sorted(modules - {"__main__"}),
        "script": None if script is None else os.path.abspath(script),
    }
    return json.dumps(plain)


def run_text(text: str) -> float:
    """Train the run that `job_text` describes; returns its best score."""
    plain = json.loads(text)
    os.environ.update(plain["environment"])
    try:
        for module in plain["modules"]:
            importlib.import_module(module)
        if plain["script"] is not None:
            with sweep.importing():  # a script may call `main` without asking for its name
                runpy.run_path(plain["script"], run_name="__dacapo_job__")
        request = RunRequest(
            plain["choices"], plain["overrides"], plain["retry"], decode(plain["halving"])
        )
        run_config = decode(plain["config"])
        assert isinstance(run_config, RunConfig)
        return train_job(run_config, Path(plain["runs_dir"]), request)
    except InputError as error:
        sys.stderr.write(printable(f"error: job {plain['number']}: {error}\n"))
        raise
