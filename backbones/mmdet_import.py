"""The one place that makes mmdet 3.3 usable with current PyTorch; every module that uses mmdet calls :func:`prepare`.

Four things are fixed: mmcv's missing extension (:mod:`backbones.mmcv_finder`, also where Python did not read our
``.pth`` file), reading mmengine's checkpoints with ``weights_only=True``, an attribute that ``SSDHead`` lacks, and
third parties' chatter.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache

from backbones import mmcv_finder
from backbones.mmengine_checkpoints import trust_mmengine_checkpoints
from nas.errors import NaswildError, require

# Two messages of third parties that no caller can act on; both come from code that runs at import or in every step.
_HARMLESS = (
    # mmengine calls torch.cuda.amp and pkg_resources by their old names
    (FutureWarning, r"`torch\.(cuda|cpu)\.amp\."),
    (UserWarning, r"pkg_resources is deprecated"),
)


@cache
def prepare() -> None:
    """Import mmdet with its registries filled and its traps removed; once per process.

    Raises :class:`nas.errors.MissingExtra` if mmdet is not installed and :class:`NaswildError` if mmcv, mmengine and
    mmdet do not fit together.
    """
    mmcv_finder.install()
    for category, message in _HARMLESS:
        warnings.filterwarnings("ignore", message, category)
    for module in ("mmengine", "mmcv"):
        require(module, "detection")
    try:
        require("mmdet", "detection")
    except AssertionError as error:  # how mmdet reports versions that do not fit
        raise NaswildError(f"mmdet cannot work with what is installed: {error}") from error
    trust_mmengine_checkpoints()
    _complete_ssd_head()
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def _complete_ssd_head() -> None:
    """``AnchorHead.predict`` reads ``loss_cls``, which ``SSDHead`` never sets: the first validation would crash."""
    from mmdet.models.dense_heads import SSDHead

    if not hasattr(SSDHead, "loss_cls"):
        SSDHead.loss_cls = None
