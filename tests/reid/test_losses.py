"""The batch-hard triplet loss equals its definition."""

from __future__ import annotations

import pytest
import torch

from nas.errors import NaswildError
from reid.losses import batch_hard_triplet


def test_equals_the_definition():
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    identities = torch.arange(12) % 4
    terms = []
    for anchor in range(12):
        distances = (features - features[anchor]).norm(dim=1)
        same = identities == identities[anchor]
        terms.append(max(0.0, 0.3 + float(distances[same].max() - distances[~same].min())))
    assert float(batch_hard_triplet(features, identities, 0.3)) == pytest.approx(sum(terms) / 12, rel=1e-5)


def test_gradient_is_finite_where_images_coincide():
    features = torch.ones(4, 3, requires_grad=True)
    batch_hard_triplet(features, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()


def test_a_batch_of_one_identity_is_refused_not_counted_as_zero():
    with pytest.raises(NaswildError, match="needs two identities, all 4 images show the same one"):
        batch_hard_triplet(torch.randn(4, 8), torch.full((4,), 7))
