"""Chunked stores, read by tensorstore: zarr v2 and v3, OME-Zarr, N5, Neuroglancer precomputed.

Stores may be on disk, behind HTTP, in S3 or in Google Cloud Storage. Decoded chunks stay in a cache
of limited size, so that overlapping crops do not decode them again.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import numpy as np
import tensorstore as ts

from dacapo.arrays.array import full_index
from dacapo.arrays.formats.n5 import n5_levels, n5_metadata
from dacapo.arrays.formats.ome import Level, ome_levels
from dacapo.arrays.formats.precomputed import precomputed_levels
from dacapo.arrays.metadata import BAD_METADATA, Metadata, attributes_metadata
from dacapo.errors import InputError

if TYPE_CHECKING:
    from dacapo.arrays.array import Source

SCHEMES = ("http", "https", "s3", "gs")
_REFUSALS = (ValueError, OSError, RuntimeError, NotImplementedError)

_CODECS = {
    "blosc", "zlib", "gzip", "zstd", "bz2", "lz4", "lzma", "shuffle", "delta", "fixedscaleoffset",
    "astype", "quantize", "bitround", "packbits", "crc32", "crc32c", "adler32", "fletcher32",
    "jenkins_lookup3", "bytes", "transpose", "sharding_indexed",
}  # fmt: skip
"""Codecs of zarr, by name, whose decoders make numbers of bytes and nothing else."""

Pick = Callable[[list[Level]], Level]


@dataclass(frozen=True)
class Node:
    """A folder of a store, local or remote.

    Attributes:
        uri: a path or a URL.
        name: for messages.
        timeout: seconds to wait for a remote store.
        cache_mib: decoded chunks to keep, over all arrays.
    """

    uri: str
    name: str
    timeout: float
    cache_mib: int

    @property
    def is_remote(self) -> bool:
        return urlsplit(self.uri).scheme in SCHEMES

    def parent(self) -> tuple[Node, str]:
        """The folder above, and the name in it."""
        above, _, last = self.uri.rstrip("/").rpartition("/")
        return Node(above, self.name, self.timeout, self.cache_mib), last

    def child(self, path: str) -> Node:
        path = path.strip("/")
        uri = f"{self.uri.rstrip('/')}/{path}" if path else self.uri
        return Node(uri, self.name, self.timeout, self.cache_mib)

    def document(self, key: str) -> dict[str, Any] | None:
        """The content of a JSON file in this folder; None if there is no such file."""
        found = self.wait(lambda: self._folder.read(key), f"cannot read {key}")
        if found.state != "value":
            return None
        try:
            content = json.loads(found.value)
        except ValueError as error:
            raise InputError(f"{self.name}: {key} in {self.uri} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"{self.name}: {key} in {self.uri} does not hold a JSON object")
        return content

    def names(self) -> list[str]:
        """The names in this folder, if the store can list them."""
        if self.is_remote:
            return []
        return sorted(p.name for p in Path(self.uri).iterdir() if not p.name.startswith("."))

    def array(self, driver: str, **more: Any) -> Voxels:
        """Open the array in this folder."""
        spec = {"driver": driver, "kvstore": self.spec, "recheck_cached_data": "open", **more}
        context = _context(self.cache_mib)
        store = self.wait(
            lambda: ts.open(spec, open=True, read=True, context=context), "cannot be opened"
        )
        return Voxels(store[ts.d[:].translate_to[0]], self)

    def wait(self, ask: Callable[[], Any], problem: str) -> Any:
        """Wait for a result, and turn a failure into one clear error."""
        try:
            return ask().result(timeout=self.timeout if self.is_remote else None)
        except (TimeoutError, FutureTimeoutError) as error:
            raise InputError(
                f"{self.name}: no answer from {self.uri} within {self.timeout:g} s"
            ) from error
        except _REFUSALS as error:
            raise InputError(f"{self.name}: {problem}: {_short(error)}") from error

    @property
    def spec(self) -> dict[str, Any]:
        """The specification of the folder as a key-value store of tensorstore."""
        scheme, host, path, query, _ = urlsplit(self.uri)
        path = path.strip("/") + "/" if path.strip("/") else ""
        if scheme in ("http", "https"):
            tail = f"?{query}" if query else ""
            return {"driver": "http", "base_url": f"{scheme}://{host}/{path}{tail}"}
        if scheme == "gs":
            return {"driver": "gcs", "bucket": host, "path": path}
        if scheme == "s3":
            return {"driver": "s3", "bucket": host, "path": path, **_s3_settings()}
        return {"driver": "file", "path": f"{Path(self.uri).resolve()}/"}

    @cached_property
    def _folder(self) -> Any:
        context = _context(self.cache_mib)
        return self.wait(lambda: ts.KvStore.open(self.spec, context=context), "cannot be reached")


@dataclass(frozen=True)
class Voxels:
    """A tensorstore array that returns numpy arrays."""

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
    uri: str, name: str, pick: Pick, timeout: float, cache_mib: int
) -> tuple[Source, Metadata] | None:
    """An array or pyramid level, and its grid; None if there is no chunked store here."""
    node = Node(uri, name, timeout, cache_mib)
    if not node.is_remote and not Path(uri).is_dir():
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
        source = _zarr_array(node, document, 3)
        return source, _checked(levels, source) or plain
    return _level(node, ome_levels(attributes, node.name), pick, lambda n: _zarr3(n, pick))


def _zarr2(node: Node, pick: Pick) -> tuple[Source, Metadata] | None:
    if (document := node.document(".zarray")) is not None:
        attributes = node.document(".zattrs") or {}
        levels = _levels_above(node, ".zattrs", lambda d: d)
        source = _zarr_array(node, document, 2)
        return source, _checked(levels, source) or attributes_metadata(attributes)
    attributes = node.document(".zattrs") or {}
    if not attributes and node.document(".zgroup") is None:
        return None
    return _level(node, ome_levels(attributes, node.name), pick, lambda n: _zarr2(n, pick))


def _zarr_array(node: Node, document: Mapping[str, Any], version: Literal[2, 3]) -> Source:
    """Open with tensorstore; or, on disk, with zarr if only zarr reads what the file says."""
    try:
        return node.array({2: "zarr", 3: "zarr3"}[version])
    except InputError as error:
        if node.is_remote:
            raise
        _check_codecs(node, document)
        import zarr

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # codecs of numcodecs are not in zarr's standard
                source: Source = zarr.open_array(node.uri, mode="r", zarr_format=version)
        except (*BAD_METADATA, *_REFUSALS):
            raise error from None
        return source


def _check_codecs(node: Node, document: Mapping[str, Any]) -> None:
    """Refuse codecs that are not known to only decode numbers: one of them, pickle, runs code."""
    unknown = [name for name in _codecs(document) if name.removeprefix("numcodecs.") not in _CODECS]
    if unknown:
        raise InputError(f"{node.name}: the codec {unknown[0]!r} in {node.uri} is not supported")
    if "O" in str(document.get("dtype")):
        raise InputError(f"{node.name}: {node.uri} holds Python objects, not numbers")


def _codecs(document: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs, also of those within shards."""
    listed = [document.get("compressor"), *(document.get("filters") or [])]
    listed += document.get("codecs") or []
    for codec in listed:
        if isinstance(codec, dict):
            yield str(codec.get("id", codec.get("name")))
            inner = codec.get("configuration")
            if isinstance(inner, dict):
                yield from _codecs({"codecs": inner.get("codecs")})
                yield from _codecs({"codecs": inner.get("index_codecs")})
        elif codec is not None:
            yield str(codec)


def _checked(metadata: Metadata | None, source: Source) -> Metadata | None:
    """Note if the metadata of an image name other axes than the array has."""
    names = None if metadata is None else metadata.axis_names
    if metadata is not None and names is not None and len(names) != len(source.shape):
        problem = (
            f"its metadata name the {len(names)} axes {list(names)}, but the array has the shape "
            f"{source.shape}"
        )
        return replace(metadata, axis_names=None, problem=problem)
    return metadata


def _n5(node: Node, pick: Pick) -> tuple[Source, Metadata] | None:
    attributes = node.document("attributes.json")
    if attributes is None:
        return None
    if "dimensions" in attributes:
        parent, _ = node.parent()
        above = parent.document("attributes.json") if parent.uri.rstrip("/") else None
        is_level = above is not None and "dimensions" not in above
        return node.array("n5"), n5_metadata(attributes, node.name, above if is_level else None)
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
    metadata = _checked(level.metadata, found[0])
    assert metadata is not None
    return found[0], metadata


def _levels_above(
    node: Node, key: str, attributes: Callable[[dict[str, Any]], dict[str, Any]]
) -> Metadata | None:
    """The grid of this array according to the image of which it is a level."""
    parent, path = node.parent()
    for _ in range(_DEPTH):
        document = parent.document(key) if parent.uri.rstrip("/") else None
        levels = None if document is None else ome_levels(attributes(document), node.name)
        for level in levels or []:
            if level.path.strip("/") == path:
                level.report(node.name)
                return level.metadata
        if document is None or levels is not None:
            return None
        parent, last = parent.parent()
        path = f"{last}/{path}"
    return None


_DEPTH = 3
"""How deep below its image a level may lie, as in scale/s0."""


@cache
def _context(cache_mib: int) -> Any:
    """The cache of decoded chunks that all arrays share."""
    return ts.Context({"cache_pool": {"total_bytes_limit": cache_mib * 2**20}})


def _s3_settings() -> dict[str, Any]:
    """Endpoint and region from the environment; requests are unsigned without credentials."""
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
    """The message of an error, without tensorstore's source locations."""
    return str(error).split(" [")[0].replace("\n", " ")[:300]


def _extent(part: Any) -> str:
    return f"{list(part.domain.inclusive_min)} to {list(part.domain.exclusive_max)}"
