"""Imported once by the server that jobs are forked from: torchreid made ready, so that no job waits for it."""

from __future__ import annotations

from contextlib import suppress

from nas.errors import MissingExtra

with suppress(MissingExtra):  # the jobs themselves say what is missing
    from backbones.torchreid_import import load_torchreid

    load_torchreid()

    import reid.train  # noqa: F401
