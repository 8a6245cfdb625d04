"""From a crop's place to what the network sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from funlib.geometry import Coordinate

from dacapo.experiments.datasplits.datasets import Dataset
from dacapo.experiments.tasks.predictors import Predictor
from dacapo.experiments.trainers.augments.augment import Augment, Sample
from dacapo.experiments.trainers.crops import Crop, CropSampler
from dacapo.experiments.trainers.trainer import Batch, SampleShape
from dacapo.ops.draws import generator
from dacapo.ops.intensity import centred


class BatchMaker:
    """Reads crops, augments them and makes their targets, all on the device that trains."""

    def __init__(
        self,
        sampler: CropSampler,
        predictor: Predictor,
        shape: SampleShape,
        augments: Sequence[tuple[str, Augment]],
        device: torch.device,
        batch_size: int,
    ) -> None:
        self._sampler = sampler
        self._predictor = predictor
        self._shape = shape
        self._augments = augments
        self._device = device
        self._batch_size = batch_size

    def batch(self, seed: int, iteration: int) -> Batch:
        """The batch of a step; a pure function of its arguments."""
        parts = []
        places = []
        for number in range(self._batch_size):
            sample, crop = self.sample(seed, iteration, number)
            parts.append(self._targets(sample, crop.dataset))
            places.append(f"{crop.dataset.name} at {tuple(crop.roi.begin)}")
        raw, target, weight = (torch.stack(p) for p in zip(*parts, strict=True))
        return Batch(iteration, raw, target, weight, places)

    def sample(self, seed: int, iteration: int, number: int) -> tuple[Sample, Crop]:
        """One augmented crop of a batch, before its targets are made, and where it is from."""
        crop = self._sampler.draw(generator(seed, iteration, number, "crop"))
        sample = self._read(crop)
        for name, augment in self._augments:
            sample = augment.apply(sample, generator(seed, iteration, number, name))
        return sample, crop

    def _read(self, crop: Crop) -> Sample:
        """Raw and labels around a crop, with what targets and augmentations need beyond it."""
        shape, dataset = self._shape, crop.dataset
        gt_roi = self._predictor.gt_region_for_roi(crop.roi, shape.output_voxel_size)
        raw_roi = crop.roi.grow(shape.context, shape.context)
        # A crop turns about its centre, so labels are read equally far on both sides.
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
            raw=torch.from_numpy(np.ascontiguousarray(dataset.read_raw(raw_roi))).to(self._device),
            gt=torch.from_numpy(self._predictor.encode(labels)).to(self._device),
            mask=torch.from_numpy(mask).to(self._device),
            raw_voxel_size=shape.input_voxel_size,
            gt_voxel_size=shape.output_voxel_size,
            margin=margin,
            weight=None if weight is None else torch.from_numpy(weight).to(self._device),
        )

    def _targets(
        self, sample: Sample, dataset: Dataset
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Raw (C, *input), target and weight (C', *output)."""
        gt, mask = sample.gt[None], sample.mask[None]
        if self._predictor.classes:
            annotated = dataset.annotates(self._predictor.classes)
            mask = torch.stack([mask if a else torch.zeros_like(mask) for a in annotated], dim=1)
        size = self._shape.output_voxel_size
        region: tuple[slice, ...] = tuple(
            slice((n - o) // 2, (n - o) // 2 + o)
            for n, o in zip(gt.shape[1:], self._shape.output_shape, strict=True)
        )
        target = self._predictor.create_target(gt, size)
        weight = self._predictor.create_weight(gt, target, mask, size, region)[0]
        if sample.weight is not None:
            weight = weight * sample.weight[region]
        return centred(sample.raw), target[0][:, *region], weight
