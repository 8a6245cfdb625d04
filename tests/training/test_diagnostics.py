from __future__ import annotations

import pytest

from dacapo.experiments.run import Run
from dacapo.training import diagnostics
from tests.conftest import small_run_config


@pytest.mark.parametrize(
    ("precision", "has", "ratios", "message"),
    [
        ("fp32", True, [2.9, 2.5], "faster in bf16 than in fp32: consider trainer.precision=bf16"),
        ("fp32", True, [1.1, 1.2], ""),
        ("fp32", True, [9.0, 1.2], ""),  # the rounds disagree
        ("fp32", False, [2.9, 2.5], ""),
        ("bf16", False, [0.2, 0.3], "slower in bf16 than in fp32: trainer.precision=fp32"),
        ("bf16", False, [0.2, 0.9], ""),
        ("bf16", True, [2.9, 2.5], ""),
    ],
)
def test_a_precision_is_advised_where_all_rounds_agree(
    monkeypatch: pytest.MonkeyPatch, precision: str, has: bool, ratios: list[float], message: str
) -> None:
    run = Run(small_run_config(f"trainer.precision={precision}", "trainer.device=cpu"))
    monkeypatch.setattr(diagnostics, "has_bf16", lambda: has)
    monkeypatch.setattr(diagnostics, "bf16_speed_ratios", lambda: ratios)
    hint = diagnostics.precision_hint(run)
    assert message in hint
    assert bool(message) == bool(hint)


def test_the_speed_is_the_ratio_of_the_fastest_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks once a question: every call takes one tick."""
    ticks = iter(range(1000))
    monkeypatch.setattr(diagnostics.time, "perf_counter", lambda: float(next(ticks)))
    assert diagnostics.bf16_speed_ratios() == [1.0] * 3


def test_augmentations_that_take_0_for_black_are_named_under_zscore() -> None:
    """Synthetic data have no normalize, so a config stands in for one that has."""
    run = Run(small_run_config("trainer/augments=[gamma,noise,missing_sections]"))
    assert diagnostics.zero_warning(run) == ""
    run.config.datasplit_config.normalize = "zscore"  # type: ignore[attr-defined]
    assert diagnostics.zero_warning(run).startswith(
        "trainer/augments=gamma, missing_sections assume that 0 is black"
    )
