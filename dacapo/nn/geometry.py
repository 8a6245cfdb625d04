"""The shapes of a U-Net, computed without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dacapo.errors import InputError

Shape = Sequence[int]


@dataclass(frozen=True, kw_only=True)
class UNetGeometry:
    """The properties of a `UNet` that determine its shapes.

    Attributes:
        downsample: pooling factors between levels, finest first.
        kernels_down, kernels_up: kernel shapes of each convolution, per level (finest first); there
            is one more level going down than going up.
        same_padding: pad with zeros so that shapes are preserved; otherwise convolutions are valid.
        upsample_out: further upsampling factors after the last level.
    """

    downsample: Sequence[Shape]
    kernels_down: Sequence[Sequence[Shape]]
    kernels_up: Sequence[Sequence[Shape]]
    same_padding: bool
    upsample_out: Sequence[Shape] = ()

    def output_shape(
        self, input_shape: Shape, key: str = "architecture.input_shape"
    ) -> tuple[int, ...]:
        """The output's spatial shape.

        Raises:
            InputError: the shape is not possible; the message names the nearest possible one.
        """
        sizes = [self._along(axis, size) for axis, size in enumerate(input_shape)]
        if None in sizes:
            nearest = [self._nearest(axis, size) for axis, size in enumerate(input_shape)]
            raise InputError(
                f"{key}={list(input_shape)} does not fit this U-Net: every "
                f"pooling must divide evenly and leave something; the nearest that fits is "
                f"{nearest}"
            )
        return tuple(s for s in sizes if s is not None)

    def smallest_input(self, output_shape: Shape) -> tuple[int, ...]:
        """The smallest input whose output is at least this large."""
        return tuple(self._smallest(axis, size) for axis, size in enumerate(output_shape))

    @property
    def period(self) -> tuple[int, ...]:
        """The smallest shift of the input, in voxels, that shifts the output equally."""
        period = [1] * len(self.kernels_down[0][0])
        for factor in self.downsample:
            period = [p * f for p, f in zip(period, factor, strict=True)]
        return tuple(period)

    @property
    def halo(self) -> tuple[int, ...]:
        """Width of the border, in input voxels, in which zero padding affects the output.

        A multiple of the period; 0 without padding.
        """
        halo = [0] * len(self.period)
        if not self.same_padding:
            return tuple(halo)
        steps = [1] * len(halo)
        for level, kernels in enumerate(self.kernels_down):
            both = [*kernels, *(self.kernels_up[level] if level < len(self.kernels_up) else [])]
            for axis, step in enumerate(steps):
                halo[axis] += step * sum(kernel[axis] // 2 for kernel in both)
            if level < len(self.downsample):
                steps = [s * f for s, f in zip(steps, self.downsample[level], strict=True)]
        if self.upsample_out:  # convolutions at the input's voxel size or finer
            kernels = self.kernels_up[0]
            for axis in range(len(halo)):
                halo[axis] += len(self.upsample_out) * sum(k[axis] // 2 for k in kernels)
        # Pooling windows extend up to a period further.
        return tuple(-(-h // p) * p + p for h, p in zip(halo, self.period, strict=True))

    def _along(self, axis: int, size: int) -> int | None:
        """The size of the output along one axis; None if the input's size is not possible."""
        sizes = []
        for level, factor in enumerate(self.downsample):
            size -= self._loss(self.kernels_down[level], axis)
            if size <= 0 or size % factor[axis]:
                return None
            sizes.append(size)
            size //= factor[axis]
        size -= self._loss(self.kernels_down[-1], axis)
        if size <= 0:
            return None
        for level in reversed(range(len(self.downsample))):
            size *= self.downsample[level][axis]
            # The crop of the skip connection must be centred on whole voxels.
            if size > sizes[level] or (sizes[level] - size) % 2:
                return None
            size -= self._loss(self.kernels_up[level], axis)
            if size <= 0:
                return None
        for factor in self.upsample_out:
            size = size * factor[axis] - self._loss(self.kernels_up[0], axis)
            if size <= 0:
                return None
        return size

    def _loss(self, kernels: Sequence[Shape], axis: int) -> int:
        return 0 if self.same_padding else sum(kernel[axis] - 1 for kernel in kernels)

    def _smallest(self, axis: int, wanted: int) -> int:
        size = 1
        while (self._along(axis, size) or 0) < wanted:
            size += 1
            assert size < 100_000, "no input shape fits this U-Net"
        return size

    def _nearest(self, axis: int, size: int) -> int:
        for distance in range(100_000):
            for candidate in (size + distance, size - distance):
                if candidate > 0 and self._along(axis, candidate) is not None:
                    return candidate
        raise InputError("architecture: no input shape fits these kernels and downsample_factors")
