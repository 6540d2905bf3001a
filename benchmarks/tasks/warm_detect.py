"""Imported once by the server that jobs are forked from: mmdetection made ready, so that no job waits for it."""

from __future__ import annotations

from contextlib import suppress

from nas.errors import MissingExtra

with suppress(MissingExtra):  # the jobs themselves say what is missing
    from backbones.mmdet_import import prepare

    prepare()

    import backbones.mmdet_models  # noqa: F401
    import detection.runner
    import detection.train  # noqa: F401
