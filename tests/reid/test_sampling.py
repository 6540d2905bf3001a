"""The order of an epoch and the processes' shares of it."""

from __future__ import annotations

import pytest
import torch

from nas.errors import NaswildError
from reid.sampling import epoch_order, require_other_identities, shard, share


def test_every_image_comes_at_most_once_and_epochs_differ():
    labels = torch.arange(50) // 5
    first, again, second = (epoch_order(labels, 8, seed=1, epoch=epoch) for epoch in (0, 0, 1))
    assert first.shape == (6, 8)
    assert len(set(first.flatten().tolist())) == 48
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_identity_batches_hold_k_images_of_each_identity():
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 4 + [3] * 9 + [4] * 4)
    order = epoch_order(labels, 8, seed=0, epoch=3, images_per_identity=4)
    assert order.shape == (2, 8)
    seen = labels[order].view(-1, 4)
    assert (seen == seen[:, :1]).all()
    assert len(set(seen[:, 0].tolist())) == 4
    for row, identity in zip(order.view(-1, 4), seen[:, 0], strict=True):
        assert len(set(row.tolist())) == min(4, int((labels == identity).sum()))


def test_shares_divide_a_batch_and_keep_identities_together():
    order = torch.arange(24).view(2, 12)
    parts = [share(order, rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat(parts, dim=1), order)
    with pytest.raises(NaswildError, match="does not divide"):
        share(order, 0, 5)


def test_shards_count_every_item_once():
    assert sorted(item for rank in range(4) for item in shard(10, rank, 4)) == list(range(10))


def test_a_set_smaller_than_a_batch_is_an_error():
    with pytest.raises(NaswildError, match="5 training images do not fill one batch of 8"):
        epoch_order(torch.arange(5), 8, seed=0, epoch=0)
    with pytest.raises(NaswildError, match="identities do not fill one batch"):
        epoch_order(torch.arange(3), 8, seed=0, epoch=0, images_per_identity=2)


def test_every_process_needs_two_whole_identities_for_the_triplet_loss():
    require_other_identities(64, 4, 8)
    with pytest.raises(NaswildError, match="64 images among 16 make 4 each"):
        require_other_identities(64, 4, 16)
    with pytest.raises(NaswildError, match="two whole identities"):
        require_other_identities(24, 4, 2 + 2)  # six images a process: one identity and a half
