"""The classification data of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.tasks.task import DataSource
from nas.errors import unknown

if TYPE_CHECKING:
    from nas.proxies import Proxy

OPTIONS = ("image_size", "subset_classes", "subset_seed", "corrupt")  # of nas.proxies.load_proxy


def require_readable(data: DataSource, image_size: int | None = None) -> None:
    """Open the proxy of a job before any job runs; data that the suite has yet to make is taken on trust."""
    if not (data.made and data.root is not None and not data.root.exists()):
        open_proxy(data, image_size)


def open_proxy(data: DataSource, image_size: int | None = None) -> Proxy:
    """The proxy that a suite's data entry means: a named set (its files at ``root``), or class folders there."""
    from nas.proxies import load_proxy

    given = {} if data.made else dict(data.options)
    for name in given.keys() - set(OPTIONS):
        raise unknown("option of the data", name, OPTIONS)
    options = given | ({"image_size": image_size} if image_size is not None else {})
    if data.proxy is None:
        return load_proxy(data.root or data.name, **options)
    return load_proxy(data.proxy, root=data.root, **options)
