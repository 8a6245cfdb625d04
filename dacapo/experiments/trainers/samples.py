"""Makes batches from the positions of crops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from funlib.geometry import Coordinate, Roi

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.augments.augment import Augment, Sample
from dacapo.experiments.trainers.augments.geometric import Extent, WarpAugment
from dacapo.experiments.trainers.crops import Crop, CropSampler
from dacapo.experiments.trainers.reading import CropReader
from dacapo.experiments.trainers.trainer import Batch, SampleShape
from dacapo.ops.draws import generator
from dacapo.ops.integers import equal_to
from dacapo.ops.warp import Warp


class BatchMaker:
    """Reads crops, augments them, and computes their targets on the training device.

    Args:
        share: which samples of each batch this process makes.
    """

    def __init__(
        self,
        sampler: CropSampler,
        predictor: Predictor,
        shape: SampleShape,
        augments: Sequence[tuple[str, Augment]],
        device: torch.device,
        share: range,
    ) -> None:
        self._sampler = sampler
        self._predictor = predictor
        self._shape = shape
        self._warps = [(n, a) for n, a in augments if isinstance(a, WarpAugment)]
        self._augments = [(n, a) for n, a in augments if not isinstance(a, WarpAugment)]
        self._device = device
        self._share = share
        self._streams = threading.local()
        self._levels: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._lock = threading.Lock()

    def batch(self, seed: int, iteration: int) -> Batch:
        """The batch of a step; a pure function of its arguments."""
        with self._own_stream() as stream:
            made = [self.sample(seed, iteration, number) for number in self._share]
            samples, crops = [s for s, _ in made], [c for _, c in made]
            raw, target, weight = self.targets(samples, [c.dataset for c in crops])
            places = [f"{crop.dataset.name} at {tuple(crop.roi.begin)}" for crop in crops]
            batch = Batch(iteration, raw, target, weight, places)
            return batch if stream is None else replace(batch, ready=stream.record_event())

    @contextmanager
    def _own_stream(self) -> Iterator[torch.cuda.Stream | None]:
        """On a GPU, run concurrently with the network, in a stream per thread."""
        if self._device.type != "cuda":
            yield None
            return
        if not hasattr(self._streams, "stream"):
            self._streams.stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._streams.stream):
            yield self._streams.stream

    def sample(self, seed: int, iteration: int, number: int) -> tuple[Sample, Crop]:
        """One augmented crop of a batch, before its targets are computed, and its origin."""
        crop = self._sampler.draw(generator(seed, iteration, number, "crop"))
        raw_roi, gt_roi = self._regions(crop)
        extent = Extent(
            Coordinate(map(max, raw_roi.shape, gt_roi.shape)), self._shape.input_voxel_size
        )
        warp: Warp | None = None
        for name, warped in self._warps:
            drawn = warped.draw(extent, generator(seed, iteration, number, name))
            warp = warp if drawn is None else drawn.after(warp)
        sample = self._read(crop.dataset, raw_roi, gt_roi, CropReader(self._device, warp))
        for name, augment in self._augments:
            sample = augment.apply(sample, generator(seed, iteration, number, name))
        return sample, crop

    def _regions(self, crop: Crop) -> tuple[Roi, Roi]:
        """The regions of raw and of labels that the network and the targets of a crop need.

        A crop is warped about its centre, so labels reach equally far on both sides.
        """
        shape = self._shape
        gt_roi = self._predictor.gt_region_for_roi(crop.roi, shape.output_voxel_size)
        reach = Coordinate(
            max(a, b)
            for a, b in zip(crop.roi.begin - gt_roi.begin, gt_roi.end - crop.roi.end, strict=True)
        )
        return crop.roi.grow(shape.context, shape.context), crop.roi.grow(reach, reach)

    def _read(self, dataset: Dataset, raw_roi: Roi, gt_roi: Roi, reader: CropReader) -> Sample:
        """The sample, warped."""
        shape = self._shape
        raw = reader.intensities(
            dataset.normalized_raw, raw_roi, shape.input_voxel_size, self._levels_of(dataset)
        )

        def nearest(read: Callable[[Roi], Any]) -> tuple[torch.Tensor, torch.Tensor]:
            return reader.nearest(read, dataset.gt.roi, gt_roi, shape.output_voxel_size)

        labels, mask = nearest(dataset.read_gt)
        if dataset.mask is not None:
            mask = nearest(dataset.read_stored_mask)[0].to(torch.uint8)
        if dataset.ignore_label is not None:
            mask = mask * ~equal_to(labels, dataset.ignore_label)
        gt = self._predictor.encode(labels)
        return Sample(
            raw=raw,
            gt=gt.where(mask != 0, gt.new_zeros(())),
            mask=mask,
            raw_voxel_size=shape.input_voxel_size,
            gt_voxel_size=shape.output_voxel_size,
            weight=None if dataset.weight is None else nearest(dataset.read_weight)[0],
        )

    def _levels_of(self, dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
        """What normalises raw of a dataset, uploaded once for the streams of all threads."""
        with self._lock:
            if dataset.name not in self._levels:
                low, factor = map(torch.from_numpy, dataset.normalized_raw.levels)
                self._levels[dataset.name] = low.to(self._device), factor.to(self._device)
            return self._levels[dataset.name]

    def targets(
        self, samples: Sequence[Sample], datasets: Sequence[Dataset]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Raw (B, C, *input), target and weight (B, C', *output) of samples from these datasets."""
        gt = torch.stack([s.gt for s in samples])
        mask = torch.stack([s.mask for s in samples])
        if classes := self._predictor.classes:
            annotated = [d.annotates(classes) for d in datasets]
            known = torch.tensor(annotated, device=mask.device, dtype=mask.dtype)  # (B, K)
            mask = mask[:, None] * known.reshape(*known.shape, *[1] * (gt.ndim - 1))
        size = self._shape.output_voxel_size
        region: tuple[slice, ...] = tuple(
            slice((n - o) // 2, (n - o) // 2 + o)
            for n, o in zip(gt.shape[1:], self._shape.output_shape, strict=True)
        )
        target, weight = self._predictor.create_target_and_weight(gt, mask, size, region)
        factors = [s.weight for s in samples]
        if any(f is not None for f in factors):
            ones = torch.ones_like(weight[0, 0])
            each = [ones if f is None else f[region] for f in factors]
            weight = weight * torch.stack(each)[:, None]
        raw = torch.stack([s.raw for s in samples])
        return raw, target.contiguous(), weight.contiguous()
