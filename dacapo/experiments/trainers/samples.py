"""Makes batches from the positions of crops."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from funlib.geometry import Coordinate

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.augments.augment import Augment, Sample, Stage, apply_warp
from dacapo.experiments.trainers.crops import Crop, CropSampler
from dacapo.experiments.trainers.trainer import Batch, SampleShape
from dacapo.ops.draws import generator


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
        self._augments = augments
        self._device = device
        self._share = share
        self._streams = threading.local()

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
        sample = self._read(crop)
        for name, augment in self._augments:
            if augment.stage is not Stage.warp:
                sample = apply_warp(sample)
            sample = augment.apply(sample, generator(seed, iteration, number, name))
        return apply_warp(sample), crop

    def _read(self, crop: Crop) -> Sample:
        """Raw and labels of a crop, with the context that targets and augmentations need."""
        shape, dataset = self._shape, crop.dataset
        gt_roi = self._predictor.gt_region_for_roi(crop.roi, shape.output_voxel_size)
        raw_roi = crop.roi.grow(shape.context, shape.context)
        # A crop rotates about its centre, so labels are read equally far on both sides.
        reach = Coordinate(
            max(a, b)
            for a, b in zip(crop.roi.begin - gt_roi.begin, gt_roi.end - crop.roi.end, strict=True)
        )
        gt_roi = crop.roi.grow(reach, reach)
        margin = Coordinate((0,) * gt_roi.dims)
        step = Coordinate(map(max, shape.input_voxel_size, shape.output_voxel_size))
        for _, augment in self._augments:
            size = Coordinate(map(max, raw_roi.shape, gt_roi.shape))
            wanted = augment.margin(size, shape.input_voxel_size)
            margin = Coordinate(-(-m // s) * s for m, s in zip(wanted, step, strict=True)) + margin
        raw_roi, gt_roi = (roi.grow(margin, margin) for roi in (raw_roi, gt_roi))
        mask = dataset.read_mask(gt_roi)
        labels = dataset.read_gt(gt_roi)
        labels = np.where(mask != 0, labels, np.zeros((), labels.dtype))
        weight = dataset.read_weight(gt_roi)
        return Sample(
            raw=self._upload(dataset.read_raw(raw_roi)),
            gt=self._upload(self._predictor.encode(labels)),
            mask=self._upload(mask),
            raw_voxel_size=shape.input_voxel_size,
            gt_voxel_size=shape.output_voxel_size,
            margin=margin,
            weight=None if weight is None else self._upload(weight),
        )

    def _upload(self, array: np.ndarray[Any, Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)

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
        target = self._predictor.create_target(gt, size)
        weight = self._predictor.create_weight(gt, target, mask, size, region)
        factors = [s.weight for s in samples]
        if any(f is not None for f in factors):
            ones = torch.ones_like(weight[0, 0])
            each = [ones if f is None else f[region] for f in factors]
            weight = weight * torch.stack(each)[:, None]
        raw = torch.stack([s.raw for s in samples])
        return raw, target[:, :, *region], weight
