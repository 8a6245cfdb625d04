"""Scores of instance segmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from dacapo.experiments.tasks.evaluators.evaluator import (
    Criterion,
    Evaluator,
    GroundTruth,
    Scores,
    Volume,
)
from dacapo.experiments.tasks.post_processors.post_processor import LookupSegmentation
from dacapo.ops.detection import Detection
from dacapo.ops.overlap import (
    Overlap,
    adapted_rand,
    add_tables,
    overlap,
    variation_of_information,
)
from dacapo.ops.run_length import Skeletons, expected_run_length

_OVERLAP = [
    Criterion("voi_split", False, 0, inf, "bit", "conditional entropy of segments in ground truth"),
    Criterion("voi_merge", False, 0, inf, "bit", "conditional entropy of ground truth in segments"),
    Criterion("voi", False, 0, inf, "bit", "variation of information", headline=True),
    Criterion("adapted_rand_error", False, 0, 1, "1", "adapted Rand error", headline=True),
    Criterion("adapted_rand_precision", True, 0, 1, "1", "adapted Rand precision"),
    Criterion("adapted_rand_recall", True, 0, 1, "1", "adapted Rand recall"),
]
_COUNTS = [
    Criterion("average_precision", True, 0, 1, "1", "matched fraction, IoU 0.5 to 0.95", True),
    Criterion("num_objects", True, 0, inf, "1", "number of ground-truth objects", selects=False),
    Criterion("num_segments", True, 0, inf, "1", "number of segments", selects=False),
    Criterion("count_error", False, 0, inf, "1", "difference in the number of segments"),
]
_RUN_LENGTH = [
    Criterion("expected_run_length", True, 0, inf, "nm or pixel", "expected run length"),
    Criterion(
        "normalized_expected_run_length",
        True,
        0,
        1,
        "1",
        "NERL: fraction of the largest run length",
    ),
]
_DETECTION = {
    "f1": "F1 score of objects",
    "precision": "fraction of segments that match an object",
    "recall": "fraction of objects that match a segment",
    "panoptic_quality": "panoptic quality",
}


class InstanceEvaluator(Evaluator):
    """Overlap of segments, detection of objects, and run length along skeletons if there are any.

    Variation of information and adapted Rand error use the annotated voxels of ground-truth
    objects; a prediction of 0 there is one segment. Objects are matched by intersection over union;
    for this, annotated ground truth 0 is background, and a prediction of 0 is not a segment.
    Criteria of a threshold carry it in percent: `f1_50`. See `dacapo.ops.overlap`,
    `dacapo.ops.detection` and `dacapo.ops.run_length` for the definitions, and for what is NaN
    when.

    Args:
        ignore_smaller: ground-truth objects with fewer annotated voxels are ignored.
        iou_thresholds: at least 0.5, so that matches are one to one.
        run_length: also score along skeletons; NaN if ground truth has no skeletons.
    """

    def __init__(
        self,
        ignore_smaller: int = 0,
        iou_thresholds: Sequence[float] = (0.5, 0.75),
        run_length: bool = False,
    ) -> None:
        self.ignore_smaller = ignore_smaller
        self._thresholds = list(iou_thresholds)
        detection = [
            Criterion(
                _at(name, threshold), True, 0, 1, "1", f"{text}, IoU above {threshold}",
                headline=(name, threshold) == ("f1", 0.5),
            )
            for threshold in self._thresholds
            for name, text in _DETECTION.items()
        ]  # fmt: skip
        table = [*_OVERLAP, *detection, *_COUNTS, *(_RUN_LENGTH if run_length else [])]
        which = f", objects from {ignore_smaller} voxels on" if ignore_smaller > 1 else ""
        self._table = [replace(c, long_name=c.long_name + which) for c in table]

    reads_lookups = True

    def perfect(self, gt: Volume) -> Volume:
        return gt

    def trivial(self, gt: Volume) -> Sequence[Volume]:
        """No object, and one."""
        return [np.zeros(gt.shape, np.uint8), np.ones(gt.shape, np.uint8)]

    @property
    def evaluation_scores(self) -> Scores:
        return Scores(self._table)

    def evaluate(self, output: Volume, gt: Volume, mask: Volume | None = None) -> Scores:
        return self.against(GroundTruth(gt, mask))(output)

    def against(self, ground_truth: GroundTruth) -> Callable[[Volume | LookupSegmentation], Scores]:
        return _Scorer(self, ground_truth).score

    def evaluate_blocks(self, blocks: Iterable[tuple[Volume, GroundTruth]]) -> Scores:
        """Scores of an output that is larger than memory; only the overlap of ids is held.

        Args:
            blocks: parts of the output that do not overlap, each with its ground truth, in whose
                voxels the positions of all skeletons are given.
        """
        skeletons: Skeletons | None = None
        found: list[tuple[Volume, Volume]] = []

        def tables() -> Iterator[Overlap]:
            nonlocal skeletons
            for output, ground_truth in blocks:
                annotated = _annotated(ground_truth)
                skeletons = ground_truth.skeletons
                if skeletons is not None:
                    found.append(_at_nodes(skeletons, annotated, output))
                yield overlap(ground_truth.gt, output, annotated)

        table = add_tables(tables())
        if skeletons is None:
            return self.scores(table, None, None)
        return self.scores(table, skeletons, _segments(len(skeletons.position), found))

    def scores(self, table: Overlap, skeletons: Skeletons | None, segment: Volume | None) -> Scores:
        """All scores.

        Args:
            table: of all annotated voxels.
            skeletons, segment: the segment at each node, -1 at nodes that are ignored.
        """
        known = table.objects(self.ignore_smaller)
        split, merge = variation_of_information(known)
        error, precision, recall = adapted_rand(known)
        found = Detection.of(table, self.ignore_smaller)
        values = {
            "voi_split": split,
            "voi_merge": merge,
            "voi": split + merge,
            "adapted_rand_error": error,
            "adapted_rand_precision": precision,
            "adapted_rand_recall": recall,
            "average_precision": found.average_precision(),
            "num_objects": found.num_objects,
            "num_segments": found.num_segments,
            "count_error": found.count_error,
        }
        for threshold in self._thresholds:
            for name in _DETECTION:
                values[_at(name, threshold)] = getattr(found, name)(threshold)
        if skeletons is not None and segment is not None:
            lengths = expected_run_length(skeletons, segment)
            values |= {c.name: v for c, v in zip(_RUN_LENGTH, lengths, strict=True)}
        return Scores(self._table, values, self._reasons(found, skeletons is not None))

    def _reasons(self, found: Detection, has_skeletons: bool) -> dict[str, str]:
        reasons = {
            c.name: "no ground-truth object is annotated and large enough" for c in self._table
        }
        reasons |= dict.fromkeys((c.name for c in _RUN_LENGTH), "no skeletons")
        if has_skeletons:
            reasons |= dict.fromkeys(
                (c.name for c in _RUN_LENGTH), "no edge of a skeleton is annotated"
            )
        if found.num_objects:
            pairs = "no two of the voxels are in one object"
            reasons |= {c.name: pairs for c in _OVERLAP if c.name.startswith("adapted")}
        for threshold in self._thresholds:
            reasons[_at("precision", threshold)] = "no segments"
        return reasons


class _Scorer:
    """Scores outputs one by one against one ground truth.

    The overlap of fragments is computed once; each way to merge them only looks up that table.
    """

    def __init__(self, evaluator: InstanceEvaluator, ground_truth: GroundTruth) -> None:
        self._evaluator = evaluator
        self._ground_truth = ground_truth
        self._annotated = _annotated(ground_truth)
        self._of_fragments: tuple[Volume, Overlap] | None = None

    def score(self, output: Volume | LookupSegmentation) -> Scores:
        """The scores of a segmentation (*spatial)."""
        fragments = output.fragments if isinstance(output, LookupSegmentation) else output
        if fragments.shape != self._annotated.shape:
            raise ValueError(
                f"ground truth {self._annotated.shape} and output {fragments.shape} differ in shape"
            )
        if not isinstance(output, LookupSegmentation):
            table = self._table(output)
        else:
            if self._of_fragments is None or self._of_fragments[0] is not fragments:
                self._of_fragments = fragments, self._table(fragments)
            table = self._of_fragments[1].merge(output.lookup)
        skeletons = self._ground_truth.skeletons
        if skeletons is None:
            return self._evaluator.scores(table, None, None)
        found = [_at_nodes(skeletons, self._annotated, output)]
        segment = _segments(len(skeletons.position), found)
        return self._evaluator.scores(table, skeletons, segment)

    def _table(self, output: Volume) -> Overlap:
        return overlap(self._ground_truth.gt, output, self._annotated)


def _annotated(ground_truth: GroundTruth) -> Volume:
    if ground_truth.mask is None:
        return np.ones(ground_truth.gt.shape, bool)
    return np.asarray(ground_truth.mask != 0)


def _at_nodes(
    skeletons: Skeletons, annotated: Volume, output: Volume | LookupSegmentation
) -> tuple[Volume, Volume]:
    """The numbers of the nodes at annotated voxels, and the ids of the segments there."""
    place = np.floor(skeletons.position).astype(np.int64)
    inside = ((place >= 0) & (place < annotated.shape)).all(axis=1)
    inside[inside] = annotated[tuple(place[inside].T)]
    at = tuple(place[inside].T)
    nodes = np.flatnonzero(inside)
    if isinstance(output, LookupSegmentation):
        return nodes, output.lookup[output.fragments[at]]
    return nodes, output[at]


def _segments(count: int, found: Sequence[tuple[Volume, Volume]]) -> Volume:
    """The segment at each node as a small number, 0 for none, -1 at nodes that are ignored.

    Args:
        count: of all nodes.
        found: see `_at_nodes`, for parts that do not overlap.
    """
    ids = np.concatenate([ids for _, ids in found])
    nodes = np.concatenate([nodes for nodes, _ in found])
    number = np.unique(ids, return_inverse=True)[1].reshape(-1) + 1  # ids may be of any size
    segment = np.full(count, -1, np.int64)
    segment[nodes] = np.where(ids == 0, 0, number)
    return segment


def _at(name: str, threshold: float) -> str:
    """The name of a criterion at a threshold.

    >>> _at("f1", 0.5), _at("f1", 0.625)
    ('f1_50', 'f1_62.5')
    """
    return f"{name}_{100 * threshold:g}"
