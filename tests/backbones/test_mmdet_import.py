"""mmdet is usable: checkpoints load safely, SSDHead predicts, errors of versions are ours."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from backbones.mmdet_import import prepare

pytest.importorskip("mmdet")
prepare()


def saved(value: object) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return buffer


def test_message_hub_loads_with_weights_only() -> None:
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance("test_message_hub_loads")
    for step in range(3):
        hub.update_scalar("loss", float(step))
    hub.update_info("best", np.float32(0.25))
    state = torch.load(saved(hub.state_dict()), weights_only=True)
    assert state["log_scalars"]["loss"].mean() == 1.0
    assert state["runtime_info"]["best"] == np.float32(0.25)


class Attack:
    """Pickles as an attribute of a class that is not the log history's."""

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (torch.nn.Linear, "forward")


class AttackThroughTheAllowed:
    """Pickles as ``getattr(HistoryBuffer, "update")``: an allowed class, but not one of its statistics."""

    def __reduce__(self) -> tuple[object, ...]:
        from mmengine.logging import HistoryBuffer

        return getattr, (HistoryBuffer, "update")


@pytest.mark.parametrize("attack", [Attack, AttackThroughTheAllowed])
def test_checkpoints_cannot_reach_beyond_the_log_history(attack: type) -> None:
    with pytest.raises(Exception, match=r"unsafe|[Uu]nsupported|not an allowed|weights_only|posix"):
        torch.load(saved(attack()), weights_only=True)


def test_ssd_head_has_the_attribute_that_prediction_reads() -> None:
    from mmdet.models.dense_heads import SSDHead

    assert SSDHead.loss_cls is None
