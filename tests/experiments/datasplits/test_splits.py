"""Splits of files: by list, region, folder and table; what must not be shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from funlib.geometry import Coordinate

from dacapo.arrays import Array
from dacapo.errors import InputError
from dacapo.experiments.datasplits import (
    ArrayConfig,
    CsvDataSplitConfig,
    FolderDataSplitConfig,
    RegionConfig,
    RegionsDataSplitConfig,
    VolumeConfig,
    VolumesDataSplitConfig,
)
from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.datasplits.datasplit import DataSplit
from dacapo.experiments.datasplits.volume_config import Normalize
from tests.conftest import write_hdf5

RNG = np.random.default_rng(0)
RAW = RNG.integers(0, 4000, (100, 8, 9)).astype(np.uint16)
GT = RNG.integers(0, 4, (100, 8, 9)).astype(np.uint32)
NONE = Coordinate(0, 0, 0)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    write_hdf5(
        tmp_path / "a.h5", {"raw": RAW, "labels": GT, "other": GT[::-1].copy()},
        voxel_size=[4, 2, 2], units="nm",
    )  # fmt: skip
    return tmp_path / "a.h5"


def volumes(path: Path, **more: Any) -> VolumesDataSplitConfig:
    parts = {
        "train": {"left": VolumeConfig(region=RegionConfig(z=[0, 160]))},
        "validate": {"right": VolumeConfig(region=RegionConfig(z=[200, 400]))},
    }
    return VolumesDataSplitConfig(
        **{"raw": f"{path}:raw", "gt": f"{path}:labels", **parts, **more}  # type: ignore[arg-type]
    )


class TestVolumes:
    def test_each_may_have_a_voxel_size_of_its_own(self, volume: Path, tmp_path: Path) -> None:
        silent = write_hdf5(tmp_path / "b.h5", {"raw": RAW, "labels": GT})
        other = VolumeConfig(
            raw=f"{silent}:raw", gt=f"{silent}:labels", voxel_size=[8, 2, 2], resample=[4, 2, 2],
            region=RegionConfig(z=[0, 40]),
        )  # fmt: skip
        split = volumes(volume, unit="nm", validate={"b": other}).build()
        (found,) = split.validate
        assert found.raw.voxel_size == split.train[0].raw.voxel_size == (4000, 2000, 2000)
        assert found.gt.shape == (10, 8, 9)
        # Finer labels repeat those of the file.
        assert (found.read_gt(found.gt.roi) == GT[:5].repeat(2, axis=0)).all()

    def test_all_may_be_resampled(self, volume: Path) -> None:
        split = volumes(volume, resample=[8, 2, 2]).build()
        raw, gt = split.train[0].raw, split.train[0].gt
        assert raw.voxel_size == gt.voxel_size == (8000, 2000, 2000)
        means = RAW.reshape(50, 2, 8, 9).mean(axis=1)
        assert np.allclose(raw.read(raw.roi), means)
        assert split.train[0].raw.source is split.validate[0].raw.source  # one volume still

    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [([1, 161], [0, 160]), ([-50, 999], [0, 400]), ([6.1, 20], [8, 20])],
    )
    def test_bounds_snap_to_the_nearest_border(
        self, volume: Path, bounds: list[float], expected: list[float]
    ) -> None:
        region = RegionConfig(z=bounds, snap=True)
        roi = volumes(volume, train={"a": VolumeConfig(region=region)}).build().train[0].gt.roi
        assert [roi.begin[0], roi.end[0]] == [1000 * e for e in expected]
        with pytest.raises(InputError, match=r"train.a.region.snap=true takes"):
            volumes(volume, train={"a": VolumeConfig(region=RegionConfig(z=bounds))}).build()

    def test_a_region_that_snaps_to_nothing_is_refused(self, volume: Path) -> None:
        region = RegionConfig(z=[500, 600], snap=True)
        with pytest.raises(InputError, match=r"train.a.region: nothing of .* is inside"):
            volumes(volume, train={"a": VolumeConfig(region=region)}).build()


class TestArrays:
    def built(self, path: Path, key: str = "raw", **arrays: ArrayConfig) -> Array:
        split = volumes(path, **{key: "made"}, arrays=arrays).build()
        found: Array = getattr(split.train[0], key)
        return found

    def test_arrays_are_made_of_files_and_of_each_other(self, volume: Path) -> None:
        raw = self.built(
            volume,
            made=ArrayConfig(concat=["dim", f"{volume}:raw"]),
            dim=ArrayConfig(open=f"{volume}:raw", clip=[0, 100]),
        )
        assert np.array_equal(raw.read(raw.roi), np.stack([RAW.clip(0, 100), RAW]))
        assert raw.name.startswith("datasplit.arrays.made (datasplit.arrays.dim")

    def test_labels_are_resampled_without_inventing_ids(self, volume: Path) -> None:
        made = ArrayConfig(open=f"{volume}:labels", resample=[8.0, 2.0, 2.0])
        gt = self.built(volume, "gt", made=made)
        assert gt.dtype == np.uint32
        assert np.array_equal(gt.read(gt.roi), GT[:40:2])

    def test_raw_is_averaged(self, volume: Path) -> None:
        raw = self.built(volume, made=ArrayConfig(open=f"{volume}:raw", resample=[8.0, 2.0, 2.0]))
        assert np.allclose(raw.read(raw.roi), (RAW[::2].astype(float) + RAW[1::2]) / 2)

    def test_several_annotations_become_one(self, volume: Path) -> None:
        gt = self.built(
            volume, "gt", made=ArrayConfig(merge=[f"{volume}:labels", f"{volume}:other"])
        )
        labels = gt.read(gt.roi)
        assert np.array_equal(labels != 0, (GT[:40] != 0) | (GT[::-1][:40] != 0))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"made": ArrayConfig()}, r"datasplit.arrays.made: give one of open, concat"),
            ({"made": ArrayConfig(open="a", sum=["b"])}, "not open and sum"),
            ({"made": ArrayConfig(open="other"), "other": ArrayConfig(open="made")},
             "made -> other -> made is circular"),
            ({"made": ArrayConfig(sum=["x"], unit="nm")}, r"made.unit is for open, not for sum"),
            ({"made": ArrayConfig(constant=1.0)}, "constant and like must be given together"),
            ({"made": ArrayConfig(open="gone.h5:raw")}, r"datasplit.arrays.made.open=gone.h5:raw"),
        ],
    )  # fmt: skip
    def test_mistakes(self, volume: Path, arrays: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            self.built(volume, **arrays)

    @pytest.mark.parametrize(
        ("how", "low", "high"),
        [
            (Normalize.range, RAW.min(), RAW.max()),
            (Normalize.percentile, np.percentile(RAW, 0.5), np.percentile(RAW, 99.5)),
            (Normalize.zscore, RAW.mean(), RAW.mean() + RAW.std()),
        ],
    )
    def test_normalized_by_the_volume(
        self, volume: Path, how: Normalize, low: float, high: float
    ) -> None:
        dataset = volumes(volume, normalize=how).build().train[0]
        expected = (RAW - low) / (high - low)
        assert np.allclose(dataset.read_raw(dataset.raw.roi)[0], expected, atol=1e-4)


class TestRegions:
    def test_gaps_lie_between(self, volume: Path) -> None:
        split = RegionsDataSplitConfig(
            raw=f"{volume}:raw", gt=f"{volume}:labels", train=0.5, validate=0.25, test=0.25,
            buffer=39.0,
        ).build()  # fmt: skip
        regions = [d.gt.roi for d in (*split.train, *split.validate, *split.test)]
        assert [r.begin[0] // 4000 for r in regions] == [0, 50, 80]  # 10 voxels, rounded up
        assert [r.end[0] // 4000 for r in regions] == [40, 70, 100]

    def test_folds_lie_side_by_side_and_share_nothing(self, volume: Path) -> None:
        """Of 100 voxels, 20 are for the test and 5 for the gap before it; 75 are three folds."""
        expected = {
            0: [(30, 75), (0, 25), (80, 100)],
            1: [(0, 20), (55, 75), (25, 50), (80, 100)],
            2: [(0, 45), (50, 75), (80, 100)],
        }
        for fold, regions in expected.items():
            split = RegionsDataSplitConfig(
                raw=f"{volume}:raw", gt=f"{volume}:labels", test=0.2, buffer=20.0, num_folds=3,
                fold=fold,
            ).build()  # fmt: skip
            found = [d.gt.roi for d in (*split.train, *split.validate, *split.test)]
            assert [(r.begin[0] // 4000, r.end[0] // 4000) for r in found] == regions
            assert [d.name for d in split.validate] == [f"fold{fold}"]

    def test_a_test_part_of_a_volume_without_contrast_is_of_that_volume(
        self, tmp_path: Path
    ) -> None:
        file = write_hdf5(
            tmp_path / "b.h5", {"raw": RAW * 0 + 7, "labels": GT}, voxel_size=[4, 2, 2], units="nm"
        )
        split = RegionsDataSplitConfig(
            raw=f"{file}:raw", gt=f"{file}:labels", train=0.5, validate=0.25, test=0.25,
            buffer=8.0, intensity_range=[0.0, 255.0], may_overlap=["train+validate"],
        ).build()  # fmt: skip
        with pytest.raises(
            InputError, match=r"validate.validate and datasplit.test.test are closer"
        ):
            split.check_apart(Coordinate(9000, 0, 0))

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"train": 0.9}, "shares that add up to 1"),
            ({"axis": "w"}, "axis=w: give z, y or x"),
            ({"buffer": 400.0}, "buffer=400: gaps as wide leave nothing of the 400 nm"),
            ({"num_folds": 2, "buffer": 300.0}, "gaps as wide leave nothing of the 400 nm"),
            ({"num_folds": 3, "fold": 3}, "fold=3 must be less than datasplit.num_folds=3"),
            ({"fold": 1}, "datasplit.fold=1: set datasplit.num_folds as well"),
            ({"num_folds": 1}, "datasplit.num_folds=1 must be at least 2"),
        ],
    )
    def test_mistakes(self, volume: Path, more: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            RegionsDataSplitConfig(raw=f"{volume}:raw", gt=f"{volume}:labels", **more).build()


class TestFolder:
    def test_containers(self, tmp_path: Path) -> None:
        for part, name in (("train", "a"), ("train", "b"), ("validate", "c")):
            (tmp_path / part).mkdir(exist_ok=True)
            arrays = {"raw": RAW + len(name + part), "labels": GT}
            write_hdf5(tmp_path / part / f"{name}.h5", arrays, voxel_size=[4, 2, 2], units="nm")
        split = FolderDataSplitConfig(path=str(tmp_path)).build()
        assert [d.name for d in split.train] == ["a", "b"]
        assert [d.name for d in split.validate] == ["c"]

    def test_pairs_of_files(self, tmp_path: Path) -> None:
        for part in ("train", "validate"):
            for what, data in (("raw", RAW), ("gt", GT)):
                (tmp_path / part / what).mkdir(parents=True)
                tifffile.imwrite(tmp_path / part / what / f"{part}_1.tif", data)
        config = FolderDataSplitConfig(
            path=str(tmp_path), voxel_size=[4, 2, 2], unit="nm", may_overlap=["train_1+validate_1"]
        )
        split = config.build()
        split.check_apart(NONE)
        assert np.array_equal(split.train[0].read_gt(split.train[0].gt.roi), GT)
        (tmp_path / "train" / "raw" / "train_2.tif").touch()
        with pytest.raises(InputError, match="hold other names, such as train_2"):
            config.build()

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such folder"):
            FolderDataSplitConfig(path=str(tmp_path / "none")).build()
        with pytest.raises(InputError, match=r"no volumes in .*train"):
            FolderDataSplitConfig(path=str(tmp_path)).build()


class TestCsv:
    def test_one_row_a_volume(self, tmp_path: Path, volume: Path) -> None:
        write_hdf5(tmp_path / "b.h5", {"raw": RAW + 1, "labels": GT}, voxel_size=[4, 2, 2],
                   units="nm")  # fmt: skip
        (tmp_path / "v.csv").write_text(
            "split,name,raw,gt,classes,sampling_weight\n"
            "train,,a.h5:raw,a.h5:labels,mito;er,2\n"
            f"validate,second,{tmp_path}/b.h5:raw,b.h5:labels,,\n"
        )
        split = CsvDataSplitConfig(path=f"{tmp_path}/v.csv").build()
        assert split.train[0].name == "train1"
        assert split.train[0].classes == ["mito", "er"]
        assert split.train[0].sampling_weight == 2
        assert split.validate[0].name == "second"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("split,raw,gt\n", "no row has the split train"),
            ("split,raw,gt,masc\ntrain,a,b,c\n", r"line 2: unknown column 'masc'"),
            ("split,raw,gt\ntest set,a,b\n", r"line 2: split='test set'; give one of train"),
            ("split,raw,gt,sampling_weight\ntrain,a,b,much\n", "line 2: sampling_weight"),
            (
                "split,name,raw,gt\ntrain,n,a,b\ntrain,n,a,b\n",
                "line 3: train has two volumes called n",
            ),
        ],
    )
    def test_mistakes(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "v.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            CsvDataSplitConfig(path=f"{tmp_path}/v.csv").build()


def dataset(name: str, raw: Any, begin: int, end: int) -> Dataset:
    whole = Array(raw, Coordinate(1, 1, 1), NONE, name=f"{name} raw")
    labels = Array(GT[begin:end], Coordinate(1, 1, 1), Coordinate(begin, 0, 0), name=f"{name} gt")
    return Dataset(name, whole, labels)


class TestApart:
    """A copy of the volume is the same volume, whatever it is called."""

    def test_labels_that_overlap(self) -> None:
        split = DataSplit([dataset("a", RAW, 0, 50)], [dataset("b", RAW.copy(), 49, 100)])
        with pytest.raises(InputError, match=r"train.a and datasplit.validate.b share labels"):
            split.check_apart(NONE)

    def test_labels_within_the_reach_of_targets(self) -> None:
        split = DataSplit([dataset("a", RAW, 0, 50)], [dataset("b", RAW.copy(), 55, 100)])
        split.check_apart(Coordinate(5, 5, 5))
        with pytest.raises(
            InputError, match=r"are closer than the targets reach.*may_overlap=\[a\+b\]"
        ):
            split.check_apart(Coordinate(6, 6, 6))

    def test_a_test_volume_counts_too(self) -> None:
        split = DataSplit(
            [dataset("a", RAW, 0, 30)], [dataset("b", RAW, 40, 60)], [dataset("c", RAW, 20, 50)]
        )
        with pytest.raises(InputError, match=r"train.a and datasplit.test.c"):
            split.check_apart(NONE)

    def test_pairs_that_are_named_may(self) -> None:
        parts = [dataset("a", RAW, 0, 50)], [dataset("b", RAW, 40, 100)]
        DataSplit(*parts, may_overlap=[("b", "a")]).check_apart(NONE)
        with pytest.raises(InputError, match=r"may_overlap=a\+x: choose from the volumes"):
            DataSplit(*parts, may_overlap=[("a", "x")]).check_apart(NONE)

    def test_other_volumes_at_the_same_place_may(self) -> None:
        split = DataSplit([dataset("a", RAW, 0, 50)], [dataset("b", RAW[::-1].copy(), 0, 50)])
        split.check_apart(NONE)
        assert split.shared_context(Coordinate(9, 9, 9)) == []

    def test_shared_context_is_reported(self) -> None:
        split = DataSplit([dataset("a", RAW, 0, 50)], [dataset("b", RAW, 60, 100)])
        assert split.shared_context(Coordinate(5, 5, 5)) == []
        (line,) = split.shared_context(Coordinate(6, 0, 0))
        assert (
            "train.a and validate.b see the same raw as context, but share no label: [0.054, 0.0"
            in line
        )
