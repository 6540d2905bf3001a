"""Building other people's networks without fetching anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from nas.errors import NaswildError


class WouldDownload(NaswildError):
    """Something tried to fetch a file from the network."""


@contextmanager
def without_downloads() -> Iterator[None]:
    """Within, whatever looks up a host raises :class:`WouldDownload` instead."""

    def refuse(host: Any, *_: Any, **__: Any) -> Any:
        raise WouldDownload(f"it would download from {host}, and nothing is downloaded here")

    with mock.patch.object(socket, "getaddrinfo", refuse):
        yield
