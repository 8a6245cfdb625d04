"""What `compare` says of configurations: who beats whom, what is not decided, and why."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dacapo.comparison.choose import read_all, with_folds_named
from dacapo.comparison.configurations import compare_validation
from dacapo.comparison.gather import CompareOptions, gather
from dacapo.comparison.records import read_records
from dacapo.comparison.statistics import paired
from dacapo.comparison.test_scores import VolumeScore
from dacapo.comparison.verdict import Comparison, summary
from dacapo.comparison.verdict_tables import print_comparison
from dacapo.errors import InputError
from dacapo.experiments import TrainingIterationStats, ValidationIterationScores
from dacapo.experiments.score_table import Best, ScoreHeader
from dacapo.runs import RunFolder
from tests.conftest import run_document


def write_runs(
    runs_dir: Path,
    name: str,
    scores: Sequence[Sequence[float] | None],
    choices: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    volumes: Sequence[str] = ("a",),
    criterion: str = "voi",
    higher: int = 0,
    settings: int = 1,
    seconds: float = 0.5,
    notes: Mapping[str, object] | None = None,
    folds: tuple[int, int] | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Finished runs, one for each repetition, with a score for each volume; None: it failed."""
    header = ScoreHeader(
        list(volumes), [{"label": f"x={n}", "x": n} for n in range(settings)],
        [{"name": criterion, "higher_is_better": higher, "units": "bit"},
         {"name": "num_segments", "higher_is_better": 1}],
        criterion, facts=facts or {},
    )  # fmt: skip
    for repetition, values in enumerate(scores):
        folder = RunFolder(runs_dir / name / str(repetition))
        document = run_document(name, 2, repetition)
        document |= {"choices": dict(choices or {}), "overrides": list(overrides)}
        document |= dict(notes or {})
        if folds is not None:
            split = {"num_folds": folds[0], "fold": folds[1]}
            document["config"] = {**document["config"], "datasplit_config": split}
        with folder.writing(document) as writer:
            writer.begin(0, header)
            for step in range(2):
                writer.add_step(TrainingIterationStats(step, 1.0, seconds))
            if values is None:
                writer.finish("failed", error="out of memory")
                continue
            worse = -100 if higher else 100
            cells = [[[v + worse * n, 0.0 if v == 9 else 5.0] for n in range(settings)]
                     for v in values]  # fmt: skip
            writer.add_scores(ValidationIterationScores(2, cells))
            writer.finish("done", num_parameters=1000)


def judged(
    runs_dir: Path, baseline: str | None = None, margin: float | None = None
) -> list[Comparison]:
    runs, unreadable = read_records(runs_dir)
    assert not unreadable
    states = {run.label: run.state().name for run in runs}
    return compare_validation(runs, states, baseline, margin)


SHARED = np.array([0.0, 0.3, -0.2, 0.1, 0.25, -0.1])


def noise(seed: int, sd: float = 0.02) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, len(SHARED))


def column(mean: float, seed: int, sd: float = 0.02) -> list[list[float]]:
    return [[v] for v in (mean + SHARED + noise(seed, sd)).tolist()]


def test_one_beats_the_other_in_a_plain_sentence(tmp_path: Path) -> None:
    write_runs(tmp_path, "one_1a", column(1.5, 0), {"architecture": "residual_unet", "task": "t"})
    write_runs(tmp_path, "two_2b", column(1.4, 1), {"architecture": "unet", "task": "t"})
    (found,) = judged(tmp_path)
    first, *rest = found.sentences()
    expected = paired(found.means[1], found.means[0])
    assert expected.high < 0
    assert first == (
        f"unet beats residual_unet on voi by {-expected.mean:.3g} bit (95 % interval "
        f"{-expected.high:.3g} to {-expected.low:.3g}, 6 pairs)"
    )
    assert not any("candidates" in s for s in rest)
    assert any("this holds for a:" in s for s in rest)


def test_higher_is_better_as_well(tmp_path: Path) -> None:
    for name, mean in (("low", 0.5), ("high", 0.7)):
        write_runs(
            tmp_path, name, column(mean, 0 if name == "low" else 1), criterion="f1", higher=1
        )
    (found,) = judged(tmp_path)
    assert next(iter(found.sentences())).startswith("high beats low on f1 by 0.2")
    assert found.chances[found.order[0]] > 0.99


def test_what_is_not_decided_says_what_would_decide_it(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.50, 0, 0.2))
    write_runs(tmp_path, "b", column(1.45, 3, 0.2))
    (found,) = judged(tmp_path)
    assert not any(d.is_decided for d in found.differences.values())
    sentence = next(iter(found.sentences()))
    assert sentence.startswith("not decided between")
    (d,) = found.differences.values()
    more = d.more_pairs(d.mean, 1)
    assert f"about {more} more repetitions would tell {abs(d.mean):.3g} apart" in sentence
    (with_margin,) = judged(tmp_path, margin=2.0)
    assert "differ by less than 2 bit" in next(iter(with_margin.sentences()))


def test_repetitions_are_paired_by_their_number(tmp_path: Path) -> None:
    """The spread that repetitions share is not that of their difference."""
    write_runs(tmp_path, "a", column(1.5, 0))
    write_runs(tmp_path, "b", [None, *column(1.4, 1)[1:]])
    (found,) = judged(tmp_path)
    (d,) = found.differences.values()
    assert d.count == 5
    assert d.sd < 0.1 < np.nanstd(found.means[0])
    assert found.configurations[1].num_failed == 1
    assert any("b: of 6 runs 1 failed; their pairs" in s for s in found.sentences())


def test_who_is_better_is_decided_by_the_pairs(tmp_path: Path) -> None:
    """Not by means over other repetitions: the hard ones may be missing."""
    hard = [[v + 5 * (n > 2)] for n, (v,) in enumerate(column(1.5, 0))]
    write_runs(tmp_path, "a", [[v - 0.3] for (v,) in hard])
    write_runs(tmp_path, "b", [*hard[:3], None, None, None])
    (found,) = judged(tmp_path)
    assert found.label(found.order[0]) == "b"
    sentences = list(found.sentences())
    assert not any("b beats a" in s for s in sentences)
    ((pair, difference),) = found.differences.items()
    assert pair == (0, 1)
    assert difference.mean < 0


def test_a_run_that_found_nothing_is_left_out_and_counted(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0))
    write_runs(tmp_path, "b", [[9.0], *column(1.4, 1)[1:]])
    (found,) = judged(tmp_path)
    assert np.isnan(found.means[1, 0])
    assert any("b: of 6 runs 1 collapsed (no better" in s for s in found.sentences())


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([[1.5]], "one pair has no interval"),
        ([[1.5], [1.5], [1.5]], "all repetitions differ by the same amount"),
        ([None, None], ""),
    ],
)
def test_what_cannot_be_judged(
    tmp_path: Path, scores: list[list[float] | None], reason: str
) -> None:
    write_runs(tmp_path, "a", scores)
    write_runs(tmp_path, "b", [s and [v - 0.5 for v in s] for s in scores])
    comparisons = judged(tmp_path)
    sentences = [s for c in comparisons for s in c.sentences()]
    if reason:
        assert sentences[0] == f"b and a cannot be compared: {reason}" or reason in sentences[0]
        assert not any("beats" in s for s in sentences)
    else:
        assert sentences == []
    for comparison in comparisons:
        print_comparison(comparison)


def test_two_pairs_are_too_few(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_runs(tmp_path, name, column(1.5 - number, number)[:2])
    assert any(
        "two pairs give an interval 18 standard" in s for s in judged(tmp_path)[0].sentences()
    )


def test_what_is_scored_otherwise_is_not_compared(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0))
    write_runs(tmp_path, "b", column(0.5, 0), criterion="f1", higher=1)
    write_runs(tmp_path, "c", column(1.4, 1), volumes=["other"])
    found = judged(tmp_path)
    assert sorted([c.name for c in comparison.configurations] for comparison in found) == [
        ["a"], ["b"], ["c"]
    ]  # fmt: skip
    assert [s for c in found for s in c.sentences()] == []


def grid(runs_dir: Path, volumes: Sequence[str] = ("a",)) -> None:
    """Two networks with two rates; the network matters, the rate does not."""
    seed = 0
    for network, gain in (("unet", 0.0), ("residual_unet", 0.2)):
        for rate in ("0.1", "0.01"):
            scores = [
                [v - gain + 0.05 * n for n in range(len(volumes))]
                for (v,) in column(1.5, seed, 0.05)
            ]
            seed += 1
            write_runs(
                runs_dir, f"{network}_{seed}", scores, {"architecture": network},
                [f"trainer.learning_rate={rate}", f"name={network}"], volumes,
            )  # fmt: skip


def test_factors_are_named_and_averaged_over(tmp_path: Path) -> None:
    grid(tmp_path)
    (found,) = judged(tmp_path)
    assert {c.label for c in found.configurations} == {
        f"{a}, trainer.learning_rate={r}" for a in ("unet", "residual_unet") for r in (0.1, 0.01)
    }
    effects = {(name, a, b): d for name, a, b, _, d in found.effects()}
    assert [count for *_, count, _ in found.effects()] == [2, 2]
    network = effects["architecture", "residual_unet", "unet"]
    assert network.is_decided
    assert network.mean == pytest.approx(-0.2, abs=0.05)
    assert not effects["trainer.learning_rate", "0.1", "0.01"].is_decided
    sentences = list(found.sentences())
    assert sum("beats" in s for s in sentences) == sum(
        d.is_decided for d in found.differences.values()
    )
    assert any("the best may be any of residual_unet" in s for s in sentences)
    assert set(found.may_be_best) == {
        n for n, c in enumerate(found.configurations) if c.factors["architecture"] != "unet"
    }


def test_a_comparison_by_one_factor_alone(tmp_path: Path) -> None:
    grid(tmp_path)
    (every,) = judged(tmp_path)
    (found,) = gather(tmp_path, CompareOptions(group=["architecture"])).comparisons
    assert [c.label for c in found.configurations] == ["residual_unet", "unet"]
    assert [c.num_runs for c in found.configurations] == [12, 12]
    for c, scores in zip(found.configurations, found.scores, strict=True):
        own = [n for n, old in enumerate(every.configurations)
               if old.factors["architecture"] == c.label]  # fmt: skip
        assert np.allclose(scores, every.scores[own].mean(axis=0))
    ((pair, difference),) = found.differences.items()
    assert pair == (0, 1)
    (effect,) = (d for name, *_, d in every.effects() if name == "architecture")
    assert (difference.mean, difference.low) == pytest.approx((effect.mean, effect.low))
    assert "scores are means over 2 combinations of trainer.learning_rate" in found.sentences()

    # A network that was trained with one rate only is compared at that rate.
    scores = column(1.0, 9)
    write_runs(tmp_path, "third", scores, {"architecture": "other"}, ["trainer.learning_rate=0.1"])
    options = CompareOptions(group=["architecture"], baseline="unet")
    (found,) = gather(tmp_path, options).comparisons
    assert {c.label for c in found.configurations} == {"residual_unet", "unet", "other"}
    assert any("1 combination of" in s and "left out: 2" in s for s in found.warnings)
    assert len(found.differences) == 2
    write_runs(tmp_path, "failed", [None, None], {"architecture": "no_score"})
    (found,) = gather(tmp_path, options).comparisons
    assert [c.num_failed for c in found.configurations if c.label == "no_score"] == [2]
    assert len(found.order) == 3


def test_a_group_counts_each_combination_once(tmp_path: Path) -> None:
    for network in ("unet", "vnet"):
        for number, mean in enumerate((1.0, 3.0)):
            write_runs(
                tmp_path, f"{network}_{number}", column(mean, number), {"architecture": network},
                [f"trainer.learning_rate=0.{number + 1}"], seconds=1 + 100 * number,
            )  # fmt: skip
    write_runs(tmp_path, "copy", column(1.0, 0), {"architecture": "unet"},
               ["trainer.learning_rate=0.1"])  # fmt: skip
    (found,) = gather(tmp_path, CompareOptions(group=["architecture"])).comparisons
    assert np.allclose(found.scores[0], found.scores[1])
    # A combination that only one network was run with is not in its costs.
    shutil.rmtree(tmp_path / "vnet_1")
    (found,) = gather(tmp_path, CompareOptions(group=["architecture", "architecture"])).comparisons
    assert [c.label for c in found.configurations] == ["unet", "vnet"]
    assert max(c.costs["seconds"] for c in found.configurations) < 3


def test_one_of_several_comparisons_can_be_grouped(tmp_path: Path) -> None:
    grid(tmp_path)
    for rate, network in (("1", "a"), ("2", "b")):
        write_runs(
            tmp_path, network, column(1, 0), {"architecture": network},
            [f"trainer.learning_rate={rate}"], criterion="f1_50", higher=1,
        )  # fmt: skip
    options = CompareOptions(group=["architecture"], baseline="unet")
    (found,) = gather(tmp_path, options).comparisons
    assert found.criterion == "voi"
    assert found.label(int(found.baseline or 0)) == "unet"


def test_what_does_not_change_a_result_is_no_factor(tmp_path: Path) -> None:
    for number, more in enumerate((["trainer.num_threads=1", "trainer.device=cpu"], [])):
        rate = f"trainer.learning_rate=0.{number + 1}"
        write_runs(tmp_path, f"n{number}", column(1, number), {}, [rate, *more])
    (found,) = judged(tmp_path)
    assert {c.label for c in found.configurations} == {
        "trainer.learning_rate=0.1", "trainer.learning_rate=0.2"
    }  # fmt: skip


def test_groups_that_cannot_be_compared(tmp_path: Path) -> None:
    grid(tmp_path)
    for options, message in (
        (CompareOptions(group=["archtecture"]), r"no such factor; did you mean architecture"),
        (
            CompareOptions(group=["architecture"], baseline="vnet"),
            r"baseline=vnet: .* no such group",
        ),
    ):
        with pytest.raises(InputError, match=message):
            gather(tmp_path, options)
    for rate, network in (("1", "a"), ("2", "b")):
        write_runs(
            tmp_path / "apart", network, column(1, 0), {"architecture": network},
            [f"trainer.learning_rate={rate}"],
        )  # fmt: skip
    with pytest.raises(InputError, match=r"no combination of .*rate was run with"):
        gather(tmp_path / "apart", CompareOptions(group=["architecture"]))


def test_a_baseline_makes_the_family_smaller(tmp_path: Path) -> None:
    grid(tmp_path)
    (pairs,) = judged(tmp_path)
    assert len(pairs.differences) == 6
    (found,) = judged(tmp_path, "unet, trainer.learning_rate=0.1")
    assert len(found.differences) == 3
    for pair, difference in found.differences.items():
        assert difference.p == pairs.differences[pair].p
        assert difference.adjusted <= pairs.differences[pair].adjusted
    with pytest.raises(InputError, match=r"baseline=nope: there is no such configuration"):
        judged(tmp_path, "nope")


def test_other_volumes_take_three(tmp_path: Path) -> None:
    grid(tmp_path, ("a", "b", "c"))
    (found,) = judged(tmp_path)
    assert any("on other volumes like these" in s for s in found.sentences())
    assert found.scores.shape == (4, 6, 3)


def test_more_candidates_win_by_luck(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0))
    write_runs(tmp_path, "b", column(1.4, 1), settings=9)
    sentences = list(judged(tmp_path)[0].sentences())
    assert any("best of 1 to 9 candidates" in s for s in sentences)
    assert any("more candidates win more by luck" in s for s in sentences)


def test_costs_and_the_front(tmp_path: Path) -> None:
    for name, mean, seconds in (("good", 1.0, 3.0), ("fast", 1.5, 1.0), ("bad", 1.6, 2.0)):
        write_runs(tmp_path, name, column(mean, 0), seconds=seconds)
    (found,) = judged(tmp_path)
    assert [found.label(k) for k in found.front] == ["good", "fast"]
    costs = {c.name: c.costs for c in found.configurations}
    assert costs["good"]["seconds"] == 6.0
    assert costs["bad"]["num_parameters"] == 1000
    assert np.isnan(costs["bad"]["peak_memory_mib"])


def test_tables_and_plain_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid(tmp_path)
    (found,) = judged(tmp_path)
    print_comparison(found)
    out = capsys.readouterr().out
    for title in ("Configurations", "Costs", "Differences", "Effects"):
        assert title in out
    plain = json.loads(json.dumps(summary(found), allow_nan=False))
    assert len(plain["differences"]) == 6
    assert plain["verdict"] == list(found.sentences())
    assert sum(c["chance_of_best"] for c in plain["configurations"]) == pytest.approx(1)


def test_runs_of_other_code_data_or_length_are_compared_with_a_warning(tmp_path: Path) -> None:
    code = {"version": "0.1", "commit": "a" * 40, "changes": "", "modules": {}}
    one = {"train": {"v": "11"}, "validate": {"a": "22"}}
    for name, extra in (
        ("same", {"code": code, "data": {"digests": one}}),
        ("also", {"code": code, "data": {"digests": one}}),
    ):
        write_runs(tmp_path / "equal", name, column(1.5, len(name)), notes=extra)
    assert judged(tmp_path / "equal")[0].warnings == []
    changed = {**code, "commit": "b" * 40}
    other = {"train": {"v": "33"}, "validate": {"a": "22"}}
    write_runs(tmp_path, "a", column(1.5, 0), notes={"code": code, "data": {"digests": one}})
    write_runs(tmp_path, "b", column(1.5, 1), notes={"code": changed, "data": {"digests": other}})
    (found,) = judged(tmp_path)
    sentences = list(found.sentences())
    assert (
        "the runs were trained by different code: 0.1 at aaaaaaa (6 runs); 0.1 at bbbbbbb (6 runs)"
        in sentences
    )
    assert "the runs were trained on different voxels: a/0 and others; b/0 and others" in sentences


def test_volumes_of_one_name_and_other_voxels_are_not_compared(tmp_path: Path) -> None:
    for name, digest in (("a", "1"), ("b", "2")):
        data = {"digests": {"train": {"t": "0"}, "validate": {"a": digest}}}
        write_runs(tmp_path, name, column(1.5, 0), notes={"data": data})
    assert [len(c.configurations) for c in judged(tmp_path)] == [1, 1]


def test_a_baseline_may_be_of_one_comparison_only(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0))
    write_runs(tmp_path, "b", column(1.4, 1))
    write_runs(tmp_path, "c", column(0.5, 0), criterion="f1", higher=1)
    found = judged(tmp_path, "b")
    assert [c.baseline for c in found] == [1, None]


def with_status(runs_dir: Path, name: str, repetition: int, status: str) -> None:
    """A run that ended otherwise than `write_runs` says."""
    folder = RunFolder(runs_dir / name / str(repetition))
    with folder.writing(folder.read_document()) as writer:
        writer.finish(status, why="behind")


def test_what_halving_has_stopped_biases_what_is_left(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0))
    write_runs(tmp_path, "b", [[v + (1 if n in (1, 2, 3) else -0.2)]
                               for n, (v,) in enumerate(column(1.5, 1))])  # fmt: skip
    for repetition in (1, 2, 3):
        with_status(tmp_path, "b", repetition, "stopped")
    (found,) = judged(tmp_path)
    sentences = list(found.sentences())
    assert not any("beats" in s for s in sentences)
    assert "runs of b were stopped for being behind" in sentences[0]
    assert any("b: of 6 runs 3 were stopped for being behind" in s for s in sentences)
    assert found.pooled is None


def test_what_pools_does_not_use_fewer_repetitions_than_the_pairs(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        scores: list[list[float] | None] = [*column(1.5 - 0.1 * number, number)]
        write_runs(tmp_path, name, [*scores[:3], None, None, None] if name == "c" else scores)
    (found,) = judged(tmp_path)
    assert found.pooled is None
    assert found.chances == {}
    assert any("what pools all configurations is left out" in s for s in found.sentences())
    assert "c: of 6 runs 3 failed" in " ".join(found.sentences())


def test_effects_are_left_out_where_something_else_differs(tmp_path: Path) -> None:
    grid(tmp_path)
    write_runs(tmp_path, "again", column(2.5, 9), {"architecture": "unet"},
               ["trainer.learning_rate=0.1"])  # fmt: skip
    assert judged(tmp_path)[0].effects() == []


def test_a_copy_of_a_folder_is_another_configuration(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0))
    shutil.copytree(tmp_path / "a", tmp_path / "a_copy")
    (found,) = judged(tmp_path)
    assert [c.num_runs for c in found.configurations] == [6, 6]
    assert "all repetitions differ by the same amount" in next(iter(found.sentences()))


@pytest.mark.parametrize("higher", [0, 1])
def test_other_volumes_are_told_in_the_right_direction(tmp_path: Path, higher: int) -> None:
    volumes = [0.0, 0.4, -0.3, 0.2]
    for number, (name, mean) in enumerate(
        (("worse", 1.5), ("better", 1.5 + (0.3, -0.3)[not higher]))
    ):
        scores = [
            [v + shift + 0.01 * w for shift, w in zip(volumes, noise(9 + n, 1.0), strict=False)]
            for n, (v,) in enumerate(column(mean, number))
        ]
        write_runs(tmp_path, name, scores, volumes="wxyz", criterion="s", higher=higher)
    (found,) = judged(tmp_path)
    (sentence,) = [s for s in found.sentences() if "on other volumes" in s]
    assert sentence.startswith("on other volumes like these, better beats worse by 0.2")


def test_other_volumes_may_not_be_decided(tmp_path: Path) -> None:
    for name, gains in (("a", [0.0, 0.0, 0.0]), ("b", [0.5, -0.6, 0.2])):
        scores = [[v + g for g in gains] for (v,) in column(1.5, len(name))]
        scores = [[v + e for v in row] for row, e in zip(scores, noise(ord(name)), strict=True)]
        write_runs(tmp_path, name, scores, volumes="xyz")
    (sentence,) = [s for s in judged(tmp_path)[0].sentences() if "on other volumes" in s]
    low, _, high = sentence.partition(": ")[2].partition(" (")[0].split(" ")
    assert "it is not decided between" in sentence
    assert float(low) < 0 < float(high)


def test_a_baseline_without_a_score(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", [None] * 6)
    for number, name in enumerate("bc"):
        write_runs(tmp_path, name, column(1.5 - number, number))
    (found,) = judged(tmp_path, "a")
    sentences = list(found.sentences())
    assert any("c beats b" in s for s in sentences)
    assert "the baseline, a, has no score: all pairs are compared" in sentences
    assert any("a: of 6 runs 6 failed" in s for s in sentences)
    print_comparison(found)


def test_a_volume_without_a_score_is_named(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", [[*v, *v] for v in column(1.5, 0)], volumes="xy")
    write_runs(tmp_path, "b", [[*v, math.nan if n < 2 else v[0]] for n, v in
                               enumerate(column(1.4, 1))], volumes="xy")  # fmt: skip
    sentences = list(judged(tmp_path)[0].sentences())
    assert any("b: of 6 runs 2 have no score on some volume" in s for s in sentences)


def test_volumes_that_all_runs_have_are_compared(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", [[*v, *v] for v in column(1.5, 0)], volumes="xy")
    write_runs(tmp_path, "b", [[*v] for v in column(1.4, 1)], volumes="y")
    (found,) = judged(tmp_path)
    assert found.volumes == ["y"]
    assert any("not all runs have scores on x: left out" in s for s in found.sentences())


def test_a_difference_below_the_margin_is_said_to_be(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", column(1.5, 0, 0.001))
    write_runs(tmp_path, "b", column(1.45, 1, 0.001))
    (found,) = judged(tmp_path, margin=0.2)
    assert next(iter(found.sentences())).endswith("which is less than margin=0.2")


def test_an_infinite_score_is_no_number(tmp_path: Path) -> None:
    write_runs(tmp_path, "a", [[math.inf], [1.0]])
    write_runs(tmp_path, "b", [[1.0], [2.0]])
    for comparison in judged(tmp_path):
        json.dumps(summary(comparison), allow_nan=False)


def test_folds_are_averaged_within_a_repetition(tmp_path: Path) -> None:
    """They are no observations of their own, and nothing is said of other volumes."""
    for name, shift in (("a", 0.0), ("b", 1.0)):
        for number in range(2):
            write_runs(
                tmp_path, f"{name}{number}", [[shift + number + r / 10] for r in range(3)],
                overrides=[f"x={name}", f"datasplit.fold={number}"], volumes=[f"fold{number}"],
                folds=(2, number),
            )  # fmt: skip
    runs = with_folds_named(read_all([tmp_path])[0])
    (comparison,) = compare_validation(runs, {run.label: "done" for run in runs}, None, None)
    assert [c.label for c in comparison.configurations] == ["x=a", "x=b"]
    assert comparison.volumes == ["fold0", "fold1"]
    assert comparison.means == pytest.approx(np.array([[0.5, 0.6, 0.7], [1.5, 1.6, 1.7]]))
    (difference,) = comparison.differences.values()
    assert difference.count == 3
    sentences = list(comparison.sentences())
    assert any("the mean of 2 folds of one volume" in sentence for sentence in sentences)
    assert not any("other volumes like these" in sentence for sentence in sentences)


def test_a_repetition_that_lacks_a_fold_drops_its_pair(tmp_path: Path) -> None:
    for name, shift in (("a", 0.0), ("b", 1.0)):
        for number in range(2):
            scores = [None if (name, number, r) == ("b", 1, 2) else [shift + number + r / 10]
                      for r in range(3)]  # fmt: skip
            write_runs(
                tmp_path, f"{name}{number}", scores,
                overrides=[f"x={name}", f"datasplit.fold={number}"], volumes=[f"fold{number}"],
                folds=(2, number),
            )  # fmt: skip
    runs = with_folds_named(read_all([tmp_path])[0])
    states = {run.label: run.state().name for run in runs}
    (comparison,) = compare_validation(runs, states, None, None)
    (difference,) = comparison.differences.values()
    assert difference.count == 2
    assert any("b0: 1 runs have no score on fold0" in s for s in comparison.sentences())


def test_a_criterion_that_does_not_see_false_objects(tmp_path: Path) -> None:
    for name, background in (("a", True), ("b", True)):
        write_runs(
            tmp_path, name, column(1.5, ord(name)), facts={"a": {"has_background": background}}
        )
    (found,) = judged(tmp_path)
    assert any("does not see objects that are predicted in background" in s
               for s in found.sentences())  # fmt: skip


def test_runs_that_are_no_better_than_one_object_are_left_out(tmp_path: Path) -> None:
    facts = {"a": {"trivial": {"voi": 2.0}}}
    write_runs(tmp_path, "a", [[1.5], [1.6], [2.5]], facts=facts)
    write_runs(tmp_path, "b", [[1.2], [1.1], [1.0]], facts=facts)
    (found,) = judged(tmp_path)
    ((_, difference),) = found.differences.items()
    assert difference.count == 2
    assert [c.num_collapsed for c in found.configurations] == [1, 0]
    write_runs(tmp_path / "all", "c", [[2.5], [2.2]], facts=facts)
    (found,) = judged(tmp_path / "all")
    assert any("no run is better than one object or none: train" in s for s in found.sentences())


def test_a_fold_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a", "copy"):
        write_runs(
            tmp_path, name, [[1.0]], overrides=["datasplit.fold=0"], volumes=["fold0"],
            folds=(2, 0),
        )  # fmt: skip
    with pytest.raises(InputError, match="a/0 and copy/0 are the same fold"):
        gather(tmp_path, CompareOptions())
    assert gather(tmp_path, CompareOptions(where=["name=a"])).runs[0].label == "a/0"


def test_test_scores_of_other_parameters_are_not_those_that_validation_selects() -> None:
    score = VolumeScore("a", "key", 10, {"bias": 0.5, "min_size": 0}, {"voi": 1.0}, "digest")
    best = Best(10, 0, 0, 1.0, "bias=0.5,min_size=0", "")
    assert score.is_selected(best)
    assert not score.is_selected(replace(best, label="bias=0.6,min_size=0"))
    assert not score.is_selected(replace(best, iteration=20))
    assert not score.is_selected(None)
