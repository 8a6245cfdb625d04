from __future__ import annotations

from dataclasses import replace
from typing import Any

import cc3d
import numpy as np
import pytest
import torch

from dacapo.errors import InputError
from dacapo.experiments.tasks import AffinitiesTaskConfig, DistanceTaskConfig, OneHotTaskConfig
from dacapo.experiments.tasks.post_processors import (
    AffinityComponents,
    Agglomeration,
    Argmax,
    Components,
    GridPostProcessor,
    LookupSegmentation,
    MutexWatershed,
    PostProcessor,
    PredictionReader,
    Setting,
    Threshold,
    Watershed,
    post_processor,
)
from dacapo.experiments.tasks.post_processors.post_processor import stage
from dacapo.ops.affinities import affinities
from dacapo.ops.distances import signed_distance
from dacapo.ops.overlap import overlap, variation_of_information
from dacapo.ops.synthetic import tissue

OFFSETS = [[1, 0], [0, 1], [0, 4]]
OBJECT = PredictionReader(["object"], classes=lambda p: p, interior=lambda p: p[0], low=-1)
CLASSES = PredictionReader(["a", "b"], classes=lambda p: p, interior=lambda p: p[0])


def distances() -> tuple[np.ndarray, np.ndarray]:
    """Cells apart from each other, and their exact distance maps."""
    cells = tissue((64, 72), (1, 1), 16.0, 0.0, (0, 0)).apart(2)
    distance = signed_distance(cells, (1, 1), 20)
    return cells, np.tanh(distance / 10)[None]


def agree_one_by_one(post: PostProcessor, prediction: np.ndarray, number: int) -> None:  # type: ignore[type-arg]
    """All at once gives what each setting gives alone, in the order of the settings."""
    every = list(post.process_all(prediction))
    assert [parameters for parameters, _ in every] == list(post.enumerate_parameters())
    assert len(every) == number
    for parameters, segments in every:
        segments = segments.volume() if isinstance(segments, LookupSegmentation) else segments
        assert np.array_equal(segments, post.process(prediction, parameters))


def mutex_watershed(bias: list[float], long_bias: list[float], **more: Any) -> GridPostProcessor:
    more = {"min_size": [0], "long_stride": 1, **more}
    return MutexWatershed(bias=bias, long_bias=long_bias, **more).build(OFFSETS)


class TestMutexWatershed:
    def affinities(self) -> tuple[np.ndarray, np.ndarray]:
        labels = np.ones((12, 12), np.int32)
        labels[:, 6:] = 2
        labels[5, 8] = 3
        exact = affinities(torch.from_numpy(labels)[None], OFFSETS)[0]
        return labels, exact.float().numpy() * 0.8 + 0.1

    def test_exact_affinities_give_the_ground_truth(self) -> None:
        labels, prediction = self.affinities()
        post = mutex_watershed([0.5], [0.5])
        out = post.process(prediction, post.enumerate_parameters()[0])
        assert variation_of_information(overlap(labels, out)) == (0, 0)

    def test_the_biases_act_on_their_groups(self) -> None:
        _, prediction = self.affinities()
        post = mutex_watershed([0.05, 0.95], [0.5])
        low, high = (post.process(prediction, p) for p in post.enumerate_parameters())
        assert high.max() > low.max()

    def test_all_at_once_is_one_by_one(self) -> None:
        _, prediction = self.affinities()
        post = mutex_watershed([0.3, 0.5], [0.5, 0.7], min_size=[0, 5], long_stride=2)
        agree_one_by_one(post, prediction, 8)

    def test_lsds_in_the_prediction_are_left_aside(self) -> None:
        _, prediction = self.affinities()
        post = mutex_watershed([0.5], [0.5])
        (parameters,) = post.enumerate_parameters()
        more = np.concatenate([prediction, np.random.default_rng(0).random((6, 12, 12))])
        assert np.array_equal(
            post.process(more.astype(np.float32), parameters), post.process(prediction, parameters)
        )

    def test_random_strides_use_as_many_edges_and_never_others(self) -> None:
        labels, prediction = self.affinities()
        drawn, regular = (
            mutex_watershed([0.5], [0.5], long_stride=2, random_strides=r) for r in (True, False)
        )
        (parameters,) = drawn.enumerate_parameters()
        out = drawn.process(prediction, parameters)
        assert np.array_equal(out, drawn.process(prediction, parameters))
        assert variation_of_information(overlap(labels, out))[1] == 0
        noisy = np.random.default_rng(0).random((3, 40, 40)).astype(np.float32)
        assert not np.array_equal(
            drawn.process(noisy, parameters), regular.process(noisy, parameters)
        )


class TestAgglomeration:
    @pytest.mark.parametrize("sign", [1, -1])
    def test_exact_affinities_give_the_ground_truth(self, sign: int) -> None:
        cells = tissue((24, 32, 32), (1, 1, 1), 14.0, 0.0, (0, 0)).cells
        offsets = [[0, 0, 3], [sign, 0, 0], [0, sign, 0], [0, 0, sign]]
        exact = affinities(torch.from_numpy(cells.astype(np.int32))[None], offsets)[0]
        prediction = exact.float().numpy() * 0.8 + 0.1
        post = Agglomeration(threshold=[0.5], min_size=[0]).build(offsets)
        out = post.process(prediction, post.enumerate_parameters()[0])
        inside = out != 0
        _, merge = variation_of_information(overlap(cells[inside], out[inside]))
        assert merge < 0.02
        assert inside.mean() > 0.95

    def test_all_at_once_is_one_by_one(self) -> None:
        prediction = np.random.default_rng(0).random((3, 8, 16, 16)).astype(np.float32)
        steps = np.eye(3, dtype=int).tolist()
        post = Agglomeration(threshold=[0.6, 0.3], quantile=[None, 50], min_size=[0, 9]).build(
            steps
        )
        agree_one_by_one(post, prediction, 8)

    def test_what_it_needs(self) -> None:
        with pytest.raises(InputError, match="needs an offset of one voxel along each axis"):
            Agglomeration().build([[1, 0], [0, 2]])
        with pytest.raises(InputError, match=r"quantile=\[33\]: choose from"):
            Agglomeration(quantile=[33])
        with pytest.raises(InputError, match=r"threshold=\[1.5\]: every number must be greater"):
            Agglomeration(threshold=[1.5])


class TestAffinityComponents:
    def test_by_hand(self) -> None:
        """Two rows of three voxels; the last column leads out of the image."""
        along_y = [[0.9, 0.1, 0.2], [0.9, 0.9, 0.9]]
        along_x = [[0.7, 0.3, 0.9], [0.1, 0.6, 0.9]]
        prediction = np.array([along_x, along_y])
        post = AffinityComponents(threshold=[0.5, 0.8]).build([[0, 1], [1, 0]])
        every = [s.tolist() for _, s in post.process_all(prediction)]
        assert every == [[[1, 1, 0], [1, 2, 2]], [[1, 0, 0], [1, 0, 0]]]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_exact_affinities_give_the_ground_truth(self, sign: int) -> None:
        cells = tissue((24, 32, 32), (1, 1, 1), 14.0, 0.0, (0, 0)).cells
        offsets = [[0, 0, 3], [sign, 0, 0], [0, sign, 0], [0, 0, sign]]
        exact = affinities(torch.from_numpy(cells.astype(np.int32))[None], offsets)[0]
        post = AffinityComponents(threshold=[0.5]).build(offsets)
        out = post.process(exact.float().numpy(), post.enumerate_parameters()[0])
        parts = cc3d.connected_components(cells, connectivity=6)
        alone = (np.bincount(parts.ravel()) == 1)[parts]
        np.testing.assert_array_equal(out == 0, alone)
        assert sum(variation_of_information(overlap(parts[~alone], out[~alone]))) < 1e-9

    def test_segments_without_background_between_them(self) -> None:
        """Two halves of an image, in which each voxel is connected to another."""
        along_y, along_x = np.ones((4, 8)), np.ones((4, 8))
        along_x[:, 3] = 0
        post = AffinityComponents(threshold=[0.5]).build([[0, 1], [1, 0]])
        out = post.process(np.stack([along_x, along_y]), post.enumerate_parameters()[0])
        assert out.tolist() == [[1] * 4 + [2] * 4] * 4

    def test_all_at_once_is_one_by_one(self) -> None:
        prediction = np.random.default_rng(0).random((3, 8, 16, 16)).astype(np.float32)
        post = AffinityComponents(threshold=[0.9, 0.5, 0.8], min_size=[0, 9])
        agree_one_by_one(post.build(np.eye(3, dtype=int).tolist()), prediction, 6)

    def test_what_it_needs(self) -> None:
        with pytest.raises(InputError, match="affinity_components needs an offset of one voxel"):
            AffinityComponents().build([[1, 0], [0, 2]])


class TestWatershed:
    def test_exact_distances_give_the_ground_truth(self) -> None:
        cells, prediction = distances()
        post = Watershed(threshold=[0.0], seed_threshold=[0.1], min_size=[0]).build(OBJECT)
        (parameters,) = post.enumerate_parameters()
        out = post.process(prediction, parameters)
        assert ((out == 0) >= (cells == 0)).all()
        inside = out != 0
        assert inside.sum() > 0.9 * (cells != 0).sum()
        assert variation_of_information(overlap(cells[inside], out[inside]))[1] < 1e-9

    def test_a_distance_in_minus_1_to_1_is_not_thresholded_at_127(self) -> None:
        _, prediction = distances()
        task = DistanceTaskConfig().build()
        segments = [s for _, s in task.post_processor.process_all(prediction)]
        assert all(s.max() > 5 for s in segments)
        with pytest.raises(InputError, match=r"threshold=127.0 must lie between -1 and 1"):
            DistanceTaskConfig(post_processor=Watershed(threshold=[127.0])).build()

    def test_all_at_once_is_one_by_one(self) -> None:
        _, prediction = distances()
        post = Watershed(threshold=[-0.1, 0.1], seed_threshold=[0.2, 0.4], min_size=[0, 30]).build(
            OBJECT
        )
        agree_one_by_one(post, prediction, 8)


class TestThreshold:
    def test_each_class_by_itself(self) -> None:
        prediction = np.array([[[0.1, 0.6, 0.9]], [[0.8, 0.7, 0.2]]])
        post = Threshold(threshold=[0.5, 0.65]).build(CLASSES)
        assert [s.tolist() for _, s in post.process_all(prediction)] == [
            [[[0, 1, 1]], [[1, 1, 0]]],
            [[[0, 0, 1]], [[1, 1, 0]]],
        ]

    def test_small_parts_go(self) -> None:
        prediction = np.array([[[0.9, 0.1, 0.9, 0.9]], [[0.1, 0.9, 0.1, 0.1]]])
        post = Threshold(threshold=[0.5], min_size=[2]).build(CLASSES)
        out = post.process(prediction, post.enumerate_parameters()[0])
        assert out.tolist() == [[[0, 0, 1, 1]], [[0, 0, 0, 0]]]

    def test_all_at_once_is_one_by_one(self) -> None:
        prediction = np.random.default_rng(0).random((2, 20, 20))
        for cls in (Threshold, Components):
            post = cls(threshold=[0.4, 0.6], min_size=[0, 2, 5]).build(CLASSES)
            agree_one_by_one(post, prediction, 6)

    def test_connected_parts_are_objects(self) -> None:
        prediction = np.array([[[0.9, 0.1, 0.9, 0.9]]])
        post = Components(threshold=[0.5], min_size=[0, 2]).build(OBJECT)
        every = [s.tolist() for _, s in post.process_all(prediction)]
        assert every == [[[1, 0, 2, 2]], [[0, 0, 2, 2]]]


class TestArgmax:
    def test_the_most_probable_class_wins(self) -> None:
        prediction = np.array([[[0.5, 0.2, 0.2]], [[0.3, 0.5, 0.3]], [[0.2, 0.3, 0.5]]])
        reader = replace(CLASSES, exclusive=True)
        post = Argmax(min_size=[0, 2]).build(reader)
        every = [s.tolist() for _, s in post.process_all(prediction)]
        assert every == [[[0, 1, 2]], [[0, 0, 0]]]


class TestConfigs:
    def test_what_does_not_fit_the_labels_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"yields objects, but task.classes names classes"):
            DistanceTaskConfig(classes={"a": [1]}, post_processor=Components()).build()
        with pytest.raises(InputError, match=r"yields classes, but task.classes is empty"):
            DistanceTaskConfig(post_processor=Argmax()).build()
        with pytest.raises(InputError, match="argmax needs mutually exclusive classes"):
            DistanceTaskConfig(classes={"a": [1]}, post_processor=Argmax()).build()

    def test_defaults_follow_the_labels(self) -> None:
        chosen = [
            type(config.post_processor)
            for config in (
                DistanceTaskConfig(),
                DistanceTaskConfig(classes={"a": [1]}, criterion="dice"),
                OneHotTaskConfig(classes={"a": [1]}),
                AffinitiesTaskConfig(neighborhood=[[1, 0]]),
            )
        ]
        assert chosen == [Watershed, Threshold, Argmax, MutexWatershed]

    def test_bad_values(self) -> None:
        with pytest.raises(InputError, match=r"task.post_processor.min_size=\[-1\]: .* at least 0"):
            Components(min_size=[-1])
        with pytest.raises(InputError, match=r"post_processor.seed_threshold is empty"):
            Watershed(seed_threshold=[])


class TestStages:
    def test_what_settings_share_runs_once(self) -> None:
        """Counted on a grid of 2 x 3 settings of two stages."""
        calls: list[tuple[str, Any]] = []

        def first(before: int, a: int) -> int:
            calls.append(("first", a))
            return before + a

        def second(before: int, b: int) -> int:
            calls.append(("second", b))
            return before * b

        post = GridPostProcessor([stage(first, a=[1, 2]), stage(second, b=[3, 4, 5])])
        every = [(p, value) for p, value in post.process_all(np.int64(10))]
        assert [value for _, value in every] == [33, 44, 55, 36, 48, 60]
        assert every[4][0] == Setting(a=2, b=4)
        assert [c for c in calls if c[0] == "first"] == [("first", 1), ("first", 2)]
        assert len(calls) == 2 + 6

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("small", [0, 2**31])
    def test_threads_change_nothing(
        self, threads: int, small: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(post_processor, "_SMALL", small)
        torch.set_num_threads(threads)
        post = GridPostProcessor(
            [
                stage(lambda before, a: before + a, releases_lock=True, a=[1, 2, 3, 4, 5]),
                stage(lambda before, b: before * b, b=[3, 4]),
            ]
        )
        every = [value for _, value in post.process_all(np.int64(10))]
        assert every == [(10 + a) * b for a in (1, 2, 3, 4, 5) for b in (3, 4)]
