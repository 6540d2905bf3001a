"""The classification data of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.tasks.task import DataSource

if TYPE_CHECKING:
    from nas.proxies import Proxy


def open_proxy(data: DataSource, image_size: int | None = None) -> Proxy:
    """The proxy that a suite's data entry means: a named set (its files at ``root``), or class folders there."""
    from nas.proxies import load_proxy

    options = dict(data.options) | ({"image_size": image_size} if image_size is not None else {})
    if data.proxy is None:
        return load_proxy(data.root or data.name, **options)
    return load_proxy(data.proxy, root=data.root, **options)
