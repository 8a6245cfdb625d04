"""Counters of energy, in a folder like that of Linux."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dacapo.comparison.run_record import COSTS, read_record
from dacapo.processes import energy
from dacapo.processes.energy import Counter, EnergyMeter
from dacapo.runs import RunFolder
from dacapo.train import train
from tests.conftest import small_run_config


def set_counters(folder: Path, *microjoules: int) -> None:
    for number, value in enumerate(microjoules):
        zone = folder / f"intel-rapl:{number}"
        zone.mkdir(exist_ok=True)
        (zone / "max_energy_range_uj").write_text("10000000\n")
        (zone / "energy_uj").write_text(f"{value}\n")
        part = folder / f"intel-rapl:{number}:0"
        part.mkdir(exist_ok=True)
        (part / "max_energy_range_uj").write_text("10000000\n")
        (part / "energy_uj").write_text(f"{value * 100}\n")


def test_the_packages_are_added_up(tmp_path: Path) -> None:
    set_counters(tmp_path, 1_000_000, 9_000_000)
    meter = EnergyMeter(tmp_path)
    assert meter.source == "RAPL"
    set_counters(tmp_path, 4_600_000, 1_000_000)  # 3.6 J, and 2 J beyond the limit of 10
    assert meter.close() == pytest.approx(5.6 / 3600)


def test_a_counter_that_starts_anew_between_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([8.0, 3.0, 9.0, 2.0])
    counter = Counter("RAPL", lambda: next(values), 10.0)
    assert [counter.update() for _ in range(3)] == [5.0, 11.0, 14.0]


def test_nothing_counts(tmp_path: Path) -> None:
    meter = EnergyMeter(tmp_path / "none")
    assert meter.source == ""
    assert math.isnan(meter.close())
    set_counters(tmp_path, 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()  # as for users that may not read it
    assert EnergyMeter(tmp_path).source == ""


def test_a_run_notes_what_it_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_counters(tmp_path, 1_000_000)
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    train(small_run_config("name=a"), tmp_path / "runs")
    record = read_record(RunFolder(tmp_path / "runs" / "a" / "0"))
    costs = dict(zip(COSTS, record.costs, strict=True))
    assert costs["energy_wh"] == 0.0  # the file did not change
    assert costs["predicted_voxels_per_second"] > 0
    longer = "num_iterations=8", "trainer.schedule_iterations=6"
    train(small_run_config("name=a", *longer), tmp_path / "runs")
    record = read_record(RunFolder(tmp_path / "runs" / "a" / "0"))
    assert math.isnan(dict(zip(COSTS, record.costs, strict=True))["energy_wh"])


def test_a_counter_that_can_no_longer_be_read(tmp_path: Path) -> None:
    set_counters(tmp_path, 1_000_000)
    meter = EnergyMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert math.isnan(meter.close())
    assert energy._INTERVAL < 300
