"""What only a GPU can show. `make test-gpu` runs these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate

from dacapo.errors import InputError
from dacapo.experiments.run import NonFiniteError, Run
from dacapo.experiments.tasks import losses as all_losses
from dacapo.experiments.trainers import augments
from dacapo.experiments.trainers.augments import Augment, Sample
from dacapo.experiments.trainers.trainer import Batch
from dacapo.inference.scoring import validate
from dacapo.ops import triton_kernels, warp_cpu, warp_torch
from dacapo.ops.affinities import balanced_affinities
from dacapo.ops.draws import generator
from dacapo.ops.warp import SourceMap
from dacapo.runs import NoWriter
from dacapo.training.compiling import compile_network
from dacapo.training.steps import Steps
from tests.conftest import SMALL_AFFINITIES, TASKS, composed, small_run_config, small_task_config
from tests.ops.test_warp import drawn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

NO_AUGMENTS = ("Augment", "Extent", "Sample", "Stage", "WarpAugment")
AUGMENTS = [getattr(augments, name) for name in augments.__all__ if name not in NO_AUGMENTS]
NOISY = {"Noise", "Poisson", "SaltAndPepper"}  # their noise is drawn on the device
KERNELS = [
    warp_torch,
    pytest.param(
        triton_kernels,
        marks=pytest.mark.skipif(
            not triton_kernels.available(torch.device("cuda")), reason="needs Triton"
        ),
    ),
]


def on_gpu(sample: Sample) -> Sample:
    moved = {name: getattr(sample, name).cuda() for name in ("raw", "gt", "mask")}
    return replace(sample, **moved, weight=None if sample.weight is None else sample.weight.cuda())


@pytest.mark.parametrize("shape", [(16, 20, 24), (20, 24)])
@pytest.mark.parametrize("cls", AUGMENTS)
def test_augmentations_agree_with_the_cpu(cls: type[Augment], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    gt = torch.from_numpy(rng.integers(0, 5, shape).astype(np.int32))
    raw = torch.from_numpy(rng.random((1, *shape)).astype(np.float32))
    size = Coordinate((4,) * len(shape))
    given = Sample(raw, gt, (gt != 4).to(torch.uint8), size, size, gt.float())
    for key in range(3):
        one, other = (cls(p=1).apply(s, generator(key)) for s in (given, on_gpu(given)))
        for name in ("gt", "mask", "weight"):
            ours, theirs = getattr(one, name), getattr(other, name).cpu()
            assert (ours != theirs).float().mean() < 1e-3, name
        if cls.__name__ in NOISY:
            assert (one.raw.mean() - other.raw.cpu().mean()).abs() < 0.02
        else:
            torch.testing.assert_close(one.raw, other.raw.cpu(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", [(20, 24, 28), (24, 28)])
def test_warps_agree_with_the_cpu(kernels: Any, shape: tuple[int, ...]) -> None:
    size = (4.0,) * len(shape)
    warp = drawn(shape, size, spacing=30.0)
    begin, box = warp.source_of(shape, size)
    begin[-1] += 5
    source = SourceMap.of(warp, shape, size, begin)
    flat = (1,) * (3 - len(shape))
    rng, out = np.random.default_rng(0), (*flat, *shape)
    for dtype in (np.uint8, np.int8, np.uint16, np.int16, np.float32):
        given = torch.from_numpy(rng.integers(0, 100, (2, *flat, *box)).astype(dtype))
        low, factor = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.01])
        one = warp_cpu.linear(given, source, out, low, factor)
        other = kernels.linear(given.cuda(), source, out, low.cuda(), factor.cuda())
        torch.testing.assert_close(one, other.cpu(), atol=1e-2, rtol=0)
    for dtype in (np.uint8, np.uint16, np.uint32, np.uint64, np.int64, np.float32):
        high = 2**63 - 1 if np.dtype(dtype).kind in "iu" else 100
        ids = rng.integers(0, high, (*flat, *box)).astype(dtype)
        one, inside = warp_cpu.nearest(torch.from_numpy(ids), source, out)
        other, known = kernels.nearest(torch.from_numpy(ids).cuda(), source, out)
        assert other.dtype == one.dtype
        assert (one.numpy() != other.cpu().numpy()).mean() < 1e-3
        assert (inside != known.cpu()).float().mean() < 1e-3
        assert 0 < inside.float().mean() < 1


@pytest.mark.parametrize("with_triton", [True, False])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_balanced_affinities_agree_with_the_cpu(
    with_triton: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_kernels, "available", lambda device: with_triton)
    for shape, offsets in (
        ((30, 40, 50), [[1, 0, 0], [0, -3, 0], [0, 2, 9], [0, 0, 60]]),
        ((40, 50), [[1, 0], [-3, 4]]),
    ):
        labels = torch.randint(0, 3, (2, *shape)).to(dtype)
        labels[labels == 2] = 2**40 if dtype is torch.int64 else 2**30
        mask = (torch.rand(labels.shape) < 0.9).to(torch.uint8)
        region = tuple(slice(3, n - 2) for n in shape)
        one = balanced_affinities(labels, mask, offsets, region, 5.0)
        other = balanced_affinities(labels.cuda(), mask.cuda(), offsets, region, 5.0)
        assert all(torch.equal(a, b.cpu()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_targets_weights_and_losses_agree_with_the_cpu(name: str) -> None:
    task = small_task_config(name).task_config.build()
    gt = torch.randint(0, 3, (2, 24, 24, 24)).to(torch.int32)
    gt = gt.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    mask = (torch.rand(gt.shape) < 0.95).to(torch.uint8)
    gt = gt * mask
    region = (slice(8, 40),) * 3
    made = [
        task.predictor.create_target_and_weight(g, m, None, region)
        for g, m in ((gt, mask), (gt.cuda(), mask.cuda()))
    ]
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other.cpu(), atol=1e-3, rtol=1e-3)
    target, weight = made[0]
    prediction = torch.randn(target.shape)
    one_loss = task.loss.compute(prediction, target, weight)
    other_loss = task.loss.compute(prediction.cuda(), target.cuda(), weight.cuda())
    assert one_loss.item() == pytest.approx(other_loss.item(), rel=1e-4)


def test_every_term_of_a_loss_agrees_with_the_cpu() -> None:
    terms = {
        "ProbabilityLoss": ("cross_entropy", "dice", "tversky", "focal"),
        "MaskLoss": ("cross_entropy", "cldice", "skeleton_recall"),
        "ClassLoss": ("cross_entropy", "dice", "tversky", "focal", "cldice", "skeleton_recall"),
        "RegressionLoss": ("mse", "l1"),
    }
    logits, weight = torch.randn(2, 3, 8, 8, 8), torch.rand(2, 3, 8, 8, 8)
    target = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 8, 8, 8)), 3).movedim(-1, 1)
    for kind, names in terms.items():
        for name in names:
            others = dict.fromkeys(names, 0.0)
            loss = getattr(all_losses, kind)(**{**others, name: 1.0})
            one, other = (
                loss.compute(logits.to(d), target.float().to(d), weight.to(d)).item()
                for d in ("cpu", "cuda")
            )
            assert one == pytest.approx(other, rel=1e-4), (kind, name)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_on_a_gpu_agrees_with_one_on_the_cpu(precision: str) -> None:
    """Data, targets and network on the device: the same crops, nearly the same loss."""
    more = ["trainer/augments=[mirror,transpose,elastic]", "task.lsds=true", "task.lsd_sigma=1.0"]
    losses = []
    for device in ("cpu", "cuda"):
        run = Run(
            small_run_config(*more, f"trainer.device={device}", f"trainer.precision={precision}")
        )
        losses.append([run.train_step(batch).loss for batch in run.batches(0)])
        assert next(run.model.parameters()).device.type == device
        assert np.isfinite(validate(run).scores).all()
    assert losses[0] == pytest.approx(losses[1], rel=1e-3 if precision == "fp32" else 3e-2)


def gpu_run(*more: str) -> Run:
    return Run(small_run_config("trainer.device=cuda", *more))


def losses_of(run: Run, begin: int = 0, end: int = 10**9) -> list[float]:
    return [run.train_step(batch).loss for batch in run.batches(begin) if batch.iteration < end]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_compiled_network_learns_the_same(precision: str, micro_batches: int) -> None:
    more = [f"trainer.precision={precision}", "trainer.batch_size=2", "trainer.ema_decay=0.9",
            f"trainer.micro_batches={micro_batches}", "num_iterations=12"]  # fmt: skip
    plain, compiled = gpu_run(*more), gpu_run(*more)
    before = {k: v.clone() for k, v in compiled.train_state.state().items()}
    assert compiled.train_state.compile(2 // micro_batches) == ""
    after = compiled.train_state.state()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    one, other = losses_of(plain), losses_of(compiled)
    assert one == pytest.approx(other, rel=3e-2)
    assert len(set(other)) == len(other)
    assert plain.train_state.state().keys() == compiled.train_state.state().keys()


def test_resuming_gives_the_same_batches_to_the_bit_and_nearly_the_same_losses() -> None:
    whole, first, second = (gpu_run("num_iterations=8") for _ in range(3))
    batches = list(whole.batches(0))
    for batch in second.batches(4):
        for name in ("raw", "target", "weight"):
            assert torch.equal(getattr(batch, name), getattr(batches[batch.iteration], name))
    expected = losses_of(whole)
    losses_of(first, end=4)
    second.train_state.load_state({k: v.cpu() for k, v in first.train_state.state().items()})
    assert losses_of(second, begin=4) == pytest.approx(expected[4:], rel=1e-3)


def test_no_tensor_of_a_batch_is_reused_too_early() -> None:
    """Threads prepare batches in streams of their own while the network's stream is busy."""
    run = gpu_run("trainer.num_workers=4", "num_iterations=150", "trainer/augments=[elastic,noise]")
    alone = run.trainer.batch_maker(run.datasplit.train, run.task.predictor, run.sample_shape)
    work = torch.randn(3000, 3000, device="cuda")
    seen = []
    for batch in run.batches(0):
        batch.wait()
        for _ in range(5):
            work = work @ work
            work /= work.norm()
        seen.append(
            torch.stack([t.double().sum() for t in (batch.raw, batch.target, batch.weight)])
        )
        del batch
    for iteration, sums in enumerate(seen):
        batch = alone.batch(run.repetition, iteration)
        torch.cuda.synchronize()
        for tensor, found in zip(
            (batch.raw, batch.target, batch.weight), sums.tolist(), strict=True
        ):
            assert tensor.double().sum().item() == pytest.approx(found, rel=1e-9)


class Silent:
    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, stats: Any) -> None: ...

    def log_step(self, stats: Any, batch: Batch) -> None:
        self.losses.append(stats.loss)


def stepped(run: Run, silent: Any) -> Steps:
    return Steps(run, 0, NoWriter(), silent, silent)


def test_steps_that_are_read_late_are_the_same_steps() -> None:
    run, silent = gpu_run("num_iterations=50"), Silent()
    steps = stepped(run, silent)
    for _ in range(50):
        steps.next()
    assert len(silent.losses) == 49
    steps.finish()
    assert silent.losses == pytest.approx(losses_of(gpu_run("num_iterations=50")), rel=1e-3)
    stats = run.training_stats.iteration_stats
    assert all(s.time > 0 for s in stats)
    assert np.isnan(stats[10].alone)
    assert stats[-1].alone > 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "radam"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_reported_with_its_batch(
    optimizer: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gpu_run(
        f"trainer.optimizer={optimizer}", f"trainer.precision={precision}", "trainer.ema_decay=0.9"
    )
    good, bad = list(run.batches(0))[:2]
    bad = replace(bad, raw=bad.raw * float("nan"))
    run.train_step(good)
    before = {k: v.clone() for k, v in run.train_state.state().items() if "scaler" not in k}
    started = run.start_step(bad)
    after = run.train_state.state()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    with pytest.raises(NonFiniteError, match="non-finite loss in iteration 1: nan") as raised:
        run.finish_step(bad, started)
    assert bad.places[0] in str(raised.value)

    fresh = gpu_run(f"trainer.optimizer={optimizer}", f"trainer.precision={precision}")
    monkeypatch.setattr(fresh, "batches", lambda begin: iter([good, bad, good, good]))
    steps = stepped(fresh, Silent())
    num = 2 if fresh.train_state.decides_on_device else 1  # until the bad step has been read
    for _ in range(num):
        steps.next()
    with pytest.raises(InputError, match="non-finite loss in iteration 1: nan"):
        steps.next()


def test_a_shortage_of_memory_says_what_fits() -> None:
    run = gpu_run(
        "trainer.batch_size=4", "architecture.num_fmaps=48", "trainer.num_workers=0",
        "architecture.input_shape=[92,92,92]", "datasplit.train_shape=[128,128,128]",
    )  # fmt: skip
    batch = next(run.batches(0))
    steps = stepped(run, Silent())
    steps._batches = iter([batch])
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**30) / total)
    try:
        with pytest.raises(InputError, match="CUDA out of memory in iteration 0") as raised:
            steps.next()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    text = str(raised.value)
    assert "trainer.batch_size=4 in 1 micro-batches" in text
    assert "architecture.input_shape=[92, 92, 92]" in text
    assert "By the peak of a smaller patch, trainer.micro_batches=" in text


def command(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> str:
    """What the command says in a new process."""
    small = [o for o in SMALL_AFFINITIES if "=" in o]
    line = [sys.executable, *before, "-m", "dacapo.train", *small, *arguments]
    done = subprocess.run(
        line, cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_process_trains_over_nccl(tmp_path: Path) -> None:
    out = command(tmp_path, "name=a", "trainer.device=cuda",
                  before=("-m", "torch.distributed.run", "--nproc-per-node=1"))  # fmt: skip
    assert "best: iteration" in out


def test_two_runs_share_a_gpu(tmp_path: Path) -> None:
    out = command(
        tmp_path, "-m", "name=a", "repetition=0,1", "hydra/launcher=local",
        "hydra.launcher.at_once=2", f"hydra.launcher.folder={tmp_path}/jobs",
    )  # fmt: skip
    assert "2 at once on this machine, up to 2 per GPU" in out


def test_whether_it_is_compiled_is_decided_once(tmp_path: Path) -> None:
    from dacapo.experiments.run_config import RunConfig
    from dacapo.sweeps.job import train

    def config(*more: str) -> Any:
        given = ["name=a", "trainer.device=cuda", "num_iterations=4", *more]
        return RunConfig.from_hydra(composed(*SMALL_AFFINITIES, *given))

    train(config("trainer.compile=true"), tmp_path)
    from dacapo.runs import RunFolder

    folder = RunFolder(tmp_path / "a" / "0")
    assert folder.read_history().document["compiled"] is True
    assert compile_network(Run(config("trainer.compile=false", "num_iterations=8")), folder)
