"""Precision, accumulation, the average of weights, and what a checkpoint needs for them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments.run import NonFiniteError, Run
from dacapo.experiments.trainers.trainer import Batch
from tests.conftest import small_run_config

HARD = ["trainer.batch_size=2", "trainer.micro_batches=2", "trainer.ema_decay=0.9"]


def trained(run: Run, begin: int = 0, end: int | None = None) -> list[float]:
    losses = []
    for batch in run.batches(begin):
        if batch.iteration == end:
            break
        losses.append(run.train_step(batch).loss)
    return losses


def test_micro_batches_are_one_batch_whose_losses_are_averaged() -> None:
    split = Run(small_run_config(*HARD[:2]))
    by_hand = Run(small_run_config("trainer.batch_size=2"))
    batch = next(split.batches(0))
    stats = split.train_step(batch)
    model, parts = by_hand.model, batch.parts(2)
    model.train()
    buffers = {k: b.clone() for k, b in model.named_buffers()}
    after, losses = [], []
    for part in parts:
        model.load_state_dict(buffers, strict=False)
        output = by_hand.train_state.forward(part.raw)
        loss = by_hand.task.loss.compute(output, part.target, part.weight)
        (loss / 2).backward()
        losses.append(loss.item())
        after.append({k: b.clone() for k, b in model.named_buffers()})
    one, other = after
    mean = {k: (b + other[k]) / 2 if b.is_floating_point() else b for k, b in one.items()}
    moved = {k: 0.1 * b + 0.9 * mean[k] for k, b in buffers.items() if b.is_floating_point()}
    model.load_state_dict({**mean, **moved}, strict=False)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    for group in by_hand.train_state.optimizer.param_groups:
        group["lr"] = by_hand.trainer.learning_rate(0)
    by_hand.train_state.optimizer.step()
    assert stats.loss == pytest.approx(sum(losses) / 2)
    assert stats.gradient_norm == pytest.approx(float(norm), rel=1e-5)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(split.model.state_dict()[key], value)


def test_micro_batches_must_divide_the_batch() -> None:
    with pytest.raises(InputError, match=r"trainer.batch_size=3 must be a multiple of"):
        small_run_config("trainer.batch_size=3", "trainer.micro_batches=2")


def test_the_average_follows_the_weights_and_is_what_predicts() -> None:
    run = Run(small_run_config("trainer.ema_decay=0.9"))
    by_hand = {k: p.detach().clone() for k, p in run.model.named_parameters()}
    for batch in run.batches(0):
        run.train_step(batch)
        decay = min(0.9, (1 + batch.iteration) / (10 + batch.iteration))
        for key, p in run.model.named_parameters():
            by_hand[key] = decay * by_hand[key] + (1 - decay) * p.detach()
    own = {k: p.detach().clone() for k, p in run.model.named_parameters()}
    for key, value in run.train_state.ema_weights.items():
        torch.testing.assert_close(value, by_hand[key])
        assert not torch.equal(value, own[key])
    raw = next(run.batches(0)).raw
    run.model.eval()
    with torch.no_grad():
        plain = run.train_state.forward(raw)
        with run.train_state.using_ema():
            assert not torch.equal(run.train_state.forward(raw), plain)
        assert torch.equal(run.train_state.forward(raw), plain)


@pytest.mark.parametrize(
    "more",
    [
        HARD,
        ["trainer.precision=bf16", "trainer.optimizer=sgd"],
        ["trainer.precision=fp16", "trainer.channels_last=false"],
    ],
    ids=["average", "bf16", "fp16"],
)
def test_what_is_loaded_goes_on_to_the_same_bits(more: list[str]) -> None:
    whole, first, second = (Run(small_run_config(*more)) for _ in range(3))
    losses = trained(whole)
    assert losses[:3] == trained(first, end=3)
    second.train_state.load_state({k: v.clone() for k, v in first.train_state.state().items()})
    assert trained(second, begin=3) == losses[3:]
    assert second.train_state.state().keys() == whole.train_state.state().keys()
    for key, value in whole.train_state.state().items():
        assert torch.equal(second.train_state.state()[key], value), key


def test_an_overflow_in_fp16_leaves_the_step_out_and_lowers_the_scale() -> None:
    run = Run(small_run_config("trainer.precision=fp16"))
    batch = next(run.batches(0))
    run.train_state._scaler.scale(torch.zeros(()))  # begins lazily
    scaler = run.train_state._scaler
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0**60})
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    stats = run.train_step(batch)
    assert not math.isfinite(stats.gradient_norm)
    assert all(torch.equal(v, before[k]) for k, v in run.model.state_dict().items())
    assert scaler.get_scale() == 2.0**59


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_loss_that_is_no_number_comes_with_its_batch(precision: str) -> None:
    run = Run(small_run_config(*HARD, f"trainer.precision={precision}", "trainer.device=cpu"))
    batch = next(run.batches(0))
    raw = batch.raw.clone()
    raw[1, 0, 14, 14, 14] = float("nan")
    before = {k: v.clone() for k, v in run.train_state.state().items()}
    with pytest.raises(NonFiniteError, match="non-finite loss in iteration 0: nan") as raised:
        run.train_step(replace(batch, raw=raw))
    assert batch.places[1] in str(raised.value)
    assert torch.equal(raised.value.tensors["raw"].nan_to_num(), raw[1:].nan_to_num())
    assert raised.value.tensors["prediction"].shape == batch.target[1:].shape
    assert all(
        torch.equal(v, run.train_state.state()[k]) for k, v in before.items() if "scaler" not in k
    )


def test_a_compiled_network_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled without the code generator: the graph is traced, and run as it is."""
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda m, **_: compile_(m, backend="eager"))
    plain, compiled = Run(small_run_config()), Run(small_run_config())
    before = {k: v.clone() for k, v in compiled.train_state.state().items()}
    assert compiled.train_state.compile(1) == ""
    assert all(torch.equal(v, before[k]) for k, v in compiled.train_state.state().items())
    assert trained(compiled) == pytest.approx(trained(plain))
    assert plain.train_state.state().keys() == compiled.train_state.state().keys()


def test_parts_are_consecutive_samples() -> None:
    raw = torch.arange(4.0).reshape(4, 1)
    parts = Batch(0, raw, raw, raw, ["a", "b", "c", "d"]).parts(2)
    assert [p.raw.flatten().tolist() for p in parts] == [[0, 1], [2, 3]]
    assert [p.places for p in parts] == [["a", "b"], ["c", "d"]]
