"""Chunked stores, read by tensorstore: zarr v2 and v3, OME-Zarr, N5, Neuroglancer precomputed.

They lie on the disk, behind HTTP, in S3 or in Google Cloud Storage. Chunks that were decoded stay
in a cache of limited size, so that crops that overlap do not decode them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import tensorstore as ts

from dacapo.arrays.array import full_index
from dacapo.arrays.formats.n5 import n5_levels, n5_metadata
from dacapo.arrays.formats.ome import Level, ome_levels
from dacapo.arrays.formats.precomputed import precomputed_levels
from dacapo.arrays.metadata import Metadata, attributes_metadata
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.arrays.array import Source

SCHEMES = ("http", "https", "s3", "gs")
_REFUSALS = (ValueError, OSError, RuntimeError, NotImplementedError)

Pick = Callable[[list[Level]], Level]


@dataclass(frozen=True)
class Node:
    """A folder of a store, here or far away.

    Attributes:
        where: a path or a URL.
        name: for messages.
        timeout: seconds to wait for an answer from far away.
        cache_mib: decoded chunks to keep, over all arrays.
    """

    where: str
    name: str
    timeout: float
    cache_mib: int

    @property
    def is_remote(self) -> bool:
        return urlsplit(self.where).scheme in SCHEMES

    def parent(self) -> tuple[Node, str]:
        """The folder above, and the name in it."""
        above, _, last = self.where.rstrip("/").rpartition("/")
        return Node(above, self.name, self.timeout, self.cache_mib), last

    def child(self, path: str) -> Node:
        path = path.strip("/")
        where = f"{self.where.rstrip('/')}/{path}" if path else self.where
        return Node(where, self.name, self.timeout, self.cache_mib)

    def document(self, key: str) -> dict[str, Any] | None:
        """A JSON file in this folder; None: there is none."""
        found = self.wait(lambda: self._folder.read(key), f"cannot read {key}")
        if found.state != "value":
            return None
        try:
            content = json.loads(found.value)
        except ValueError as error:
            raise InputError(f"{self.name}: {key} in {self.where} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"{self.name}: {key} in {self.where} does not hold a JSON object")
        return content

    def names(self) -> list[str]:
        """What lies in this folder, where it can be told."""
        if self.is_remote:
            return []
        return sorted(p.name for p in Path(self.where).iterdir() if not p.name.startswith("."))

    def array(self, driver: str, **more: Any) -> Voxels:
        """The array that lies here."""
        spec = {"driver": driver, "kvstore": self.spec, "recheck_cached_data": "open", **more}
        context = _context(self.cache_mib)
        store = self.wait(
            lambda: ts.open(spec, open=True, read=True, context=context), "cannot be opened"
        )
        return Voxels(store[ts.d[:].translate_to[0]], self)

    def wait(self, ask: Callable[[], Any], problem: str) -> Any:
        """The result of a future, or one clear error."""
        try:
            return ask().result(timeout=self.timeout if self.is_remote else None)
        except (TimeoutError, FutureTimeoutError) as error:
            raise InputError(
                f"{self.name}: no answer from {self.where} within {self.timeout:g} s"
            ) from error
        except _REFUSALS as error:
            raise InputError(f"{self.name}: {problem}: {_short(error)}") from error

    @property
    def spec(self) -> dict[str, Any]:
        """Of the folder, as tensorstore's key-value store."""
        scheme, host, path, query, _ = urlsplit(self.where)
        path = path.strip("/") + "/" if path.strip("/") else ""
        if scheme in ("http", "https"):
            tail = f"?{query}" if query else ""
            return {"driver": "http", "base_url": f"{scheme}://{host}/{path}{tail}"}
        if scheme == "gs":
            return {"driver": "gcs", "bucket": host, "path": path}
        if scheme == "s3":
            return {"driver": "s3", "bucket": host, "path": path, **_s3_settings()}
        return {"driver": "file", "path": f"{Path(self.where).resolve()}/"}

    @cached_property
    def _folder(self) -> Any:
        context = _context(self.cache_mib)
        return self.wait(lambda: ts.KvStore.open(self.spec, context=context), "cannot be reached")


@dataclass(frozen=True)
class Voxels:
    """A tensorstore array that answers with numpy arrays."""

    store: Any
    node: Node

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.store.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.store.dtype.numpy_dtype)
        return dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        part = self.store[full_index(index, self.shape)]
        return self.node.wait(part.read, f"voxels {_extent(part)} cannot be read")


def open_chunked(
    where: str, name: str, pick: Pick, timeout: float, cache_mib: int
) -> tuple[Source, Metadata] | None:
    """An array, or a level of a pyramid, and its grid; None: no such store lies here."""
    node = Node(where, name, timeout, cache_mib)
    if not node.is_remote and not Path(where).is_dir():
        return None
    return _zarr3(node, pick) or _zarr2(node, pick) or _n5(node, pick) or _precomputed(node, pick)


def _zarr3(node: Node, pick: Pick) -> tuple[Source, Metadata] | None:
    document = node.document("zarr.json")
    if document is None:
        return None
    attributes = document.get("attributes") or {}
    if document.get("node_type") == "array":
        plain = attributes_metadata(attributes)
        names = document.get("dimension_names")
        if plain.axis_names is None and names and all(isinstance(n, str) for n in names):
            plain.axis_names = names
        levels = _levels_above(node, "zarr.json", lambda d: d.get("attributes") or {})
        return node.array("zarr3"), levels or plain
    return _level(node, ome_levels(attributes, node.name), pick, lambda n: _zarr3(n, pick))


def _zarr2(node: Node, pick: Pick) -> tuple[Source, Metadata] | None:
    if node.document(".zarray") is not None:
        attributes = node.document(".zattrs") or {}
        levels = _levels_above(node, ".zattrs", lambda d: d)
        return _zarr2_array(node), levels or attributes_metadata(attributes)
    attributes = node.document(".zattrs") or {}
    if not attributes and node.document(".zgroup") is None:
        return None
    return _level(node, ome_levels(attributes, node.name), pick, lambda n: _zarr2(n, pick))


def _zarr2_array(node: Node) -> Source:
    """By tensorstore; on the disk by zarr where a codec is one that only zarr knows."""
    try:
        return node.array("zarr")
    except InputError as error:
        if node.is_remote or not any(w in str(error) for w in ("registered", "filters")):
            raise
    import zarr

    source: Source = zarr.open_array(node.where, mode="r", zarr_format=2)
    return source


def _n5(node: Node, pick: Pick) -> tuple[Source, Metadata] | None:
    attributes = node.document("attributes.json")
    if attributes is None:
        return None
    if "dimensions" in attributes:
        return node.array("n5"), n5_metadata(attributes, node.name)
    levels = n5_levels(
        attributes, node.name, lambda path: node.child(path).document("attributes.json")
    )
    return _level(node, levels, pick, lambda n: _n5(n, pick))


def _precomputed(node: Node, pick: Pick) -> tuple[Source, Metadata] | None:
    info = node.document("info")
    if info is None:
        return None
    levels = precomputed_levels(info, node.name)
    level = pick(levels)
    return (
        node.array("neuroglancer_precomputed", scale_index=levels.index(level)),
        level.metadata,
    )


def _level(
    node: Node,
    levels: list[Level] | None,
    pick: Pick,
    read: Callable[[Node], tuple[Source, Metadata] | None],
) -> tuple[Source, Metadata]:
    """The chosen level of a group that is an image."""
    if levels is None:
        inside = ", ".join(node.names()) or "nothing that can be listed"
        raise InputError(f"{node.name}: a group, not an array; it holds {inside}")
    level = pick(levels)
    found = read(node.child(level.path))
    if found is None:
        raise InputError(
            f"{node.name}: its metadata names level {level.path!r}, which is not an array"
        )
    return found[0], level.metadata


def _levels_above(
    node: Node, key: str, attributes: Callable[[dict[str, Any]], dict[str, Any]]
) -> Metadata | None:
    """What the image that this array is a level of says of it."""
    parent, last = node.parent()
    document = parent.document(key) if parent.where.rstrip("/") else None
    levels = None if document is None else ome_levels(attributes(document), node.name)
    for level in levels or []:
        if level.path.strip("/") == last:
            level.report(node.name)
            return level.metadata
    return None


@cache
def _context(cache_mib: int) -> Any:
    """One pool of decoded chunks for all arrays."""
    return ts.Context({"cache_pool": {"total_bytes_limit": cache_mib * 2**20}})


def _s3_settings() -> dict[str, Any]:
    """The endpoint and the region of the environment; no signature without credentials."""
    env = os.environ
    settings: dict[str, Any] = {}
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    if endpoint:
        settings |= {"endpoint": endpoint}
    if region := env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"):
        settings |= {"aws_region": region}
    elif endpoint:
        settings |= {"aws_region": "us-east-1"}
    if env.get("AWS_NO_SIGN_REQUEST", "").lower() in ("1", "yes", "true"):
        settings |= {"aws_credentials": {"type": "anonymous"}}
    return settings


def _short(error: BaseException) -> str:
    """A message without tensorstore's record of how it came about."""
    return str(error).split(" [")[0].replace("\n", " ")[:300]


def _extent(part: Any) -> str:
    return f"{list(part.domain.inclusive_min)} to {list(part.domain.exclusive_max)}"
