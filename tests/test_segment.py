"""`python -m dacapo.segment`: from the folder of a run to objects and their table."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacapo.arrays import open_array
from dacapo.arrays.kept import KeptBlocks
from dacapo.arrays.write import write_array
from dacapo.errors import InputError
from dacapo.experiments.run import Run
from dacapo.inference.blocks import predict
from dacapo.inference.object_tables import table_names
from dacapo.ops.overlap import overlap, variation_of_information
from dacapo.predict import Precision, PredictConfig, predict_command
from dacapo.processes.files import locked
from dacapo.runs import RunFolder
from dacapo.segment import SegmentConfig, TableFormat, main, segment_command
from dacapo.train import train
from tests.conftest import TASKS, small_task_config, write_hdf5

Volume = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def options(runs_dir: Path, tmp_path: Path, task: str) -> tuple[SegmentConfig, Volume]:
    """To segment the validation volume of a run of seconds, and how it is segmented in memory."""
    name = task.replace(" ", "_").replace("/", "_").replace("=", "_")
    folder = RunFolder(runs_dir / name / "0")
    config = small_task_config(task, f"name={name}")
    if not folder.path.exists():
        train(config, runs_dir)
    run = Run(config)
    best = folder.read_history().best()
    assert best is not None
    run.train_state.load_state(folder.read_checkpoint(best.iteration))
    dataset = run.datasplit.validate[0]
    raw = dataset.raw.read(dataset.raw.roi)
    file = write_hdf5(tmp_path / "a.h5", {"raw": raw}, voxel_size=[8, 8, 8], units="nm")
    low, high = dataset.intensity_range
    setting = run.task.post_processor.enumerate_parameters()[best.parameters]
    expected = run.task.post_processor.process(predict(run, dataset), setting)
    return SegmentConfig(
        run=[f"{name}/0"], runs_dir=str(runs_dir), input=f"{file}:raw", chunk=16, device="cpu",
        intensity_range=[low, high], output=str(tmp_path / "s.ome.zarr"),
        dtype=Precision.float32,
    ), expected  # fmt: skip


def read(path: str) -> Volume:
    array = open_array(path)
    return array.read(array.roi)


def same(one: Volume, other: Volume) -> bool:
    return variation_of_information(
        overlap(one.astype(np.uint64).reshape(-1), other.astype(np.uint64).reshape(-1))
    ) == (0, 0)


@pytest.mark.parametrize("task", TASKS)
def test_one_block_is_segmented_as_in_validation(runs_dir: Path, tmp_path: Path, task: str) -> None:
    wanted, expected = options(runs_dir, tmp_path, task)
    segment_command(wanted)
    found = read(wanted.output)
    assert found.shape == expected.shape
    if "class" in task or task == "one_hot":
        assert np.array_equal(found, expected)
    else:
        assert same(found, expected)
        assert np.array_equal(found != 0, expected != 0)
        ids = np.unique(found[found != 0])
        assert ids.tolist() == list(range(1, len(ids) + 1))


def test_the_table_of_objects(runs_dir: Path, tmp_path: Path) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    many = {"bias": 0.5, "long_bias": 0.5}
    segment_command(replace(wanted, block=16, halo=8, parameters=many))
    found = read(wanted.output)
    with (tmp_path / "s.objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == [i for i in np.unique(found) if i]
    for row in rows[:: max(1, len(rows) // 20)]:
        inside = found == int(row["id"])
        places = np.argwhere(inside)
        assert int(row["voxels"]) == len(places)
        assert float(row["volume_nm3"]) == len(places) * 512
        centre = (places.mean(axis=0) + 0.5) * 8
        assert [float(row[f"{a}_nm"]) for a in "zyx"] == pytest.approx(centre.tolist())
        begin, end = places.min(axis=0) * 8, (places.max(axis=0) + 1) * 8
        assert [float(row[f"{a}_begin_nm"]) for a in "zyx"] == begin.tolist()
        assert [float(row[f"{a}_end_nm"]) for a in "zyx"] == end.tolist()
        faces = sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3))
        assert float(row["surface_nm2"]) == faces * 64
    with (tmp_path / "s.contacts.csv").open() as file:
        contacts = list(csv.DictReader(file))
    assert contacts
    for row in contacts[:: max(1, len(contacts) // 20)]:
        pair = {int(row["first"]), int(row["second"])}
        faces = 0
        for axis in range(3):
            one = np.take(found, range(found.shape[axis] - 1), axis)
            other = np.take(found, range(1, found.shape[axis]), axis)
            faces += sum(int(((one == a) & (other == b)).sum()) for a in pair for b in pair - {a})
        assert float(row["area_nm2"]) == faces * 64


def test_from_a_prediction_and_with_other_parameters(
    runs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    segment_command(wanted)
    keys = ("run", "runs_dir", "input", "device", "intensity_range", "dtype")
    prediction = str(tmp_path / "p.ome.zarr")
    predict_command(PredictConfig(output=prediction, **{k: getattr(wanted, k) for k in keys}))
    other = SegmentConfig(
        run=wanted.run, runs_dir=wanted.runs_dir, prediction=prediction, chunk=16,
        output=str(tmp_path / "t.ome.zarr"),
    )  # fmt: skip
    segment_command(other)
    header = [(tmp_path / f"{name}.objects.csv").read_text().split("\n")[0] for name in "st"]
    assert header[0] == header[1]
    with pytest.raises(InputError, match=r"voxel_size is of input=, and prediction= is given"):
        replace(other, voxel_size=[1.0, 2.0, 3.0])
    segment_command(replace(other, prediction=f"{prediction}/0", output=str(tmp_path / "l.zarr")))
    assert np.array_equal(read(other.output), read(wanted.output))
    biased = replace(other, parameters={"bias": 0.5}, output=str(tmp_path / "u.ome.zarr"))
    segment_command(biased)
    assert len(np.unique(read(biased.output))) > len(np.unique(read(other.output)))
    assert "bias=0.5" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"prediction=.* was not made by .*, iteration 6"):
        segment_command(replace(other, iteration=[6], parameters={"bias": 0.1}))


def test_what_was_interrupted_is_continued(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = options(runs_dir, tmp_path, "distance")
    wanted = replace(wanted, block=16, halo=8)
    segment_command(wanted)
    again = replace(wanted, output=str(tmp_path / "k.ome.zarr"))
    add, made = KeptBlocks.add, []

    def die_after_a_while(self: KeptBlocks, name: str, start: tuple[int, ...]) -> None:
        add(self, name, start)
        made.append((name, start))
        if len(made) % 7 == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeptBlocks, "add", die_after_a_while)
        for _ in range(100):
            try:
                segment_command(again)
            except KeyboardInterrupt:
                continue
            break
    assert len(set(made)) == len(made) > 40
    assert np.array_equal(read(again.output), read(wanted.output))
    for table in ("objects", "contacts"):
        ours, theirs = (tmp_path / f"{name}.{table}.csv" for name in "ks")
        assert ours.read_bytes() == theirs.read_bytes()
    assert sorted(p.name for p in tmp_path.glob(".*")) == []


def test_tables_in_parquet_equal_those_in_csv(runs_dir: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    wanted, _ = options(runs_dir, tmp_path, "affinities")
    wanted = replace(wanted, parameters={"bias": 0.5, "long_bias": 0.5})  # many objects
    segment_command(wanted)
    parquet = replace(wanted, tables=TableFormat.parquet, output=str(tmp_path / "p.ome.zarr"))
    segment_command(parquet)
    for table in ("objects", "contacts"):
        columns = pq.read_table(tmp_path / f"p.{table}.parquet").to_pydict()
        with (tmp_path / f"s.{table}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert list(columns) == list(rows[0])
        for name, values in columns.items():
            assert values == pytest.approx([float(row[name]) for row in rows])
    assert not (tmp_path / "p.objects.csv").exists()


def test_parquet_names_the_package_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dacapo.inference.object_tables.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'dacapo\[parquet\]'"):
        table_names(tmp_path / "a.zarr", "objects", "parquet")


def test_tables_are_kept_with_their_segmentation(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    table = tmp_path / "s.objects.csv"
    table.write_text("mine")
    with pytest.raises(InputError, match=r"s.objects.csv, which belongs to it, exists already"):
        segment_command(wanted)
    assert table.read_text() == "mine"
    table.unlink()

    def die(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # killed after the image was complete
        patch.setattr("dacapo.arrays.kept.finish", die)
        with pytest.raises(KeyboardInterrupt):
            segment_command(wanted)
    assert Path(wanted.output).exists()
    assert not table.exists()
    segment_command(wanted)
    assert table.read_text().startswith("id,voxels")
    assert not (Path(wanted.output) / ".work").exists()


def test_blocks_that_fail_in_several_processes(runs_dir: Path, tmp_path: Path) -> None:
    """Those that can be done are done; mended input is another, so that nothing stale is left."""
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    raw = str(tmp_path / "raw.zarr")
    write_array(raw, open_array(wanted.input), chunk=8)
    for chunk in (Path(raw) / "c" / "0" / "0").glob("*"):
        chunk.write_bytes(b"damaged")
    broken = PredictConfig(
        run=wanted.run, runs_dir=wanted.runs_dir, input=raw, chunk=8, block=8, num_workers=2,
        output=str(tmp_path / "p.ome.zarr"), intensity_range=[0, 255], device="cpu",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"level 0: \d+ of 48 blocks failed, the others are kept"):
        predict_command(broken)
    (work,) = tmp_path.glob(".p.ome.zarr.*.unfinished/.work")
    done = {
        line for file in work.glob("blocks.*.txt") for line in file.read_text().split("\n") if line
    }
    assert "level 0:16,24,24;" in done
    assert 0 < len(done) < 48


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parameters": {"bais": 0.3}}, r"parameters: there is no parameter bais.*mean bias\?"),
        ({"parameters": {"bias": 3.0}}, r"bias=.*3.0"),
        ({"parameters": {"bias": "high"}}, r"parameters: bias=high must be one number"),
        ({"parameters": {"bias": [[0.3]]}}, r"parameters: bias=\[0.3\] must be one number"),
        ({"parameters": {"bias": None}}, r"parameters: .*bias"),
        ({"input": ""}, r"give input= or prediction="),
        ({"parameters": {"min_size": 0.5}}, r"parameters: min_size=0.5 must be a whole number"),
        ({"parameters": {"bias": True}}, r"parameters: bias=True must be one number"),
        ({"prediction": "p.ome.zarr"}, r"give input= or prediction="),
    ],
)
def test_mistakes(runs_dir: Path, tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    with pytest.raises(InputError, match=message):
        segment_command(replace(wanted, **changed))
    assert not Path(wanted.output).exists()


def test_a_quantile_is_refused_before_anything_is_predicted(runs_dir: Path, tmp_path: Path) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities task/post_processor=agglomeration")
    with pytest.raises(InputError, match=r"quantile=50: .*parameters=\{quantile: null\}"):
        segment_command(replace(wanted, parameters={"quantile": 50}))
    assert not list(tmp_path.glob("*.ome.zarr*"))


def test_the_command(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    arguments = [f"{k}={getattr(wanted, k)}" for k in ("run", "runs_dir", "input", "output")]
    monkeypatch.setattr(sys, "argv", ["segment", *arguments, "parameters={bias: 0.4}"])
    main()
    out = capsys.readouterr().out
    assert ", bias=0.4" in out
    assert " object" in out


def test_several_processes(runs_dir: Path, tmp_path: Path) -> None:
    wanted, _ = options(runs_dir, tmp_path, "distance")
    wanted = replace(wanted, block=16, halo=8)
    segment_command(wanted)
    several = replace(wanted, num_workers=2, output=str(tmp_path / "t.ome.zarr"))
    segment_command(several)
    assert np.array_equal(read(several.output), read(wanted.output))
    for table in ("objects", "contacts"):
        ours, theirs = (tmp_path / f"{name}.{table}.csv" for name in "ts")
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_prediction_in_uint8(runs_dir: Path, tmp_path: Path) -> None:
    wanted, _ = options(runs_dir, tmp_path, "distance")
    segment_command(wanted)
    small = replace(wanted, dtype=type(wanted.dtype)("uint8"), output=str(tmp_path / "u.ome.zarr"))
    segment_command(small)
    keys = ("run", "runs_dir", "input", "device", "intensity_range")
    prediction = str(tmp_path / "p.ome.zarr")
    given = {k: getattr(small, k) for k in keys}
    predict_command(PredictConfig(output=prediction, dtype=small.dtype, **given))
    assert open_array(prediction).dtype == np.uint8
    segment_command(
        SegmentConfig(
            run=wanted.run, runs_dir=wanted.runs_dir, prediction=prediction, chunk=16,
            num_workers=2, output=str(tmp_path / "t.ome.zarr"),
        )
    )  # fmt: skip
    assert np.array_equal(read(small.output), read(str(tmp_path / "t.ome.zarr")))
    foreground = read(small.output) != 0
    assert (foreground == (read(wanted.output) != 0)).mean() > 0.99
    unbounded, _ = options(runs_dir, tmp_path, "hot_distance")
    with pytest.raises(InputError, match=r"dtype=uint8: not all channels of .* the same bounds"):
        segment_command(replace(unbounded, dtype=small.dtype, overwrite=True))


def test_several_settings_share_prediction_and_graph(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dacapo.inference import jobs
    from dacapo.inference.instances import BlockwiseSegmentation

    task = "affinities task/post_processor=agglomeration"
    wanted, _ = options(runs_dir, tmp_path, task)
    wanted = replace(wanted, block=16, halo=8)
    grid = {"threshold": [0.4, 0.6], "min_size": [0, 20]}
    each = {}
    for number, (threshold, size) in enumerate(product([0.4, 0.6], [0, 20])):
        one = replace(
            wanted, parameters={"threshold": threshold, "min_size": size},
            output=str(tmp_path / f"{number}.ome.zarr"),
        )  # fmt: skip
        segment_command(one)
        each[threshold, size] = read(one.output)
    counts = {"predicted": 0, "cut": 0}
    predict_into, cut = jobs.predict_into, BlockwiseSegmentation._cut

    def count_predictions(*args: Any, **more: Any) -> Any:
        counts["predicted"] += 1
        return predict_into(*args, **more)

    def count_blocks(self: BlockwiseSegmentation, start: tuple[int, ...]) -> None:
        counts["cut"] += 1
        cut(self, start)

    monkeypatch.setattr(jobs, "predict_into", count_predictions)
    monkeypatch.setattr(BlockwiseSegmentation, "_cut", count_blocks)
    segment_command(replace(wanted, parameters=grid))
    num_blocks = counts["cut"]
    for (threshold, size), expected in each.items():
        name = f"s.threshold={threshold},min_size={size}"
        assert np.array_equal(read(str(tmp_path / f"{name}.ome.zarr")), expected)
        assert (tmp_path / f"{name}.objects.csv").is_file()
    assert counts == {"predicted": 1, "cut": num_blocks}
    assert num_blocks == len(list(product(*(range(0, n, 16) for n in expected.shape))))
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]

    keep = replace(wanted, keep=str(tmp_path / "kept"))
    segment_command(replace(keep, parameters={"threshold": 0.4, "min_size": 0}))
    again = replace(keep, parameters={"threshold": 0.6, "min_size": 20}, overwrite=True)
    segment_command(again)
    assert counts == {"predicted": 2, "cut": 2 * num_blocks}
    assert np.array_equal(read(again.output), each[0.6, 20])
    segment_command(replace(again, halo=4))
    assert counts == {"predicted": 3, "cut": 3 * num_blocks}  # by a call that finds it done


def test_a_mutex_watershed_shares_fragments_of_several_sizes(
    runs_dir: Path, tmp_path: Path
) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    wanted = replace(wanted, block=16, halo=8, num_workers=2)
    segment_command(replace(wanted, parameters={"bias": [0.5], "min_size": [5, 60]}))
    for size in (5, 60):
        one = replace(
            wanted, parameters={"bias": 0.5, "min_size": size}, num_workers=1,
            output=str(tmp_path / f"{size}.ome.zarr"),
        )  # fmt: skip
        segment_command(one)
        name = f"s.min_size={size}.ome.zarr"
        assert np.array_equal(read(str(tmp_path / name)), read(one.output))
        kept = replace(one, keep=str(tmp_path / "kept"), output=str(tmp_path / f"k{size}.zarr"))
        segment_command(kept)
        differ = read(kept.output) != read(one.output)  # where affinities are equal
        assert differ.mean() < 0.001
    assert len(list((tmp_path / "kept").glob("graph.*"))) == 1


def test_several_settings_are_checked_first(runs_dir: Path, tmp_path: Path) -> None:
    wanted, _ = options(runs_dir, tmp_path, "affinities")
    for values, message in (
        ([], r"parameters: bias=\[\] must have values that differ"),
        ([0.5, 0.5], r"bias=\[0.5, 0.5\] must have values that differ"),
        ([0.5, 3.0], r"parameters: .*bias=\[3.0\]: every number must"),
        (["a/b", 0.5], r"bias=a/b must be one number"),
        ([1, 1.0], r"bias=\[1, 1.0\] must have values that differ"),
    ):
        with pytest.raises(InputError, match=message):
            segment_command(replace(wanted, parameters={"bias": values}))
    (tmp_path / "s.bias=0.5.ome.zarr").mkdir()
    with pytest.raises(InputError, match=r"s.bias=0.5.ome.zarr exists already"):
        segment_command(replace(wanted, parameters={"bias": [0.3, 0.5]}))
    assert not (tmp_path / "s.bias=0.3.ome.zarr").exists()
    (tmp_path / "file").touch()
    for keep, message in (
        (f"{wanted.output}/kept", r"keep=.*: the output lies there"),
        (str(tmp_path), r"keep=.*: the output lies there"),
        (str(tmp_path / "file"), r"keep=.* is a file"),
    ):
        with pytest.raises(InputError, match=message):
            segment_command(replace(wanted, keep=keep))
    two = replace(wanted, parameters={"min_size": [0, 10]})
    with (
        locked(tmp_path / ".s.ome.zarr.shared", "no"),
        pytest.raises(InputError, match=r"s.ome.zarr: another process is writing it"),
    ):
        segment_command(two)
