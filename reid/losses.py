"""The triplet loss with the hardest examples of the batch, an option beside PCB's summed cross entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.errors import NaswildError


def batch_hard_triplet(features: Tensor, identities: Tensor, margin: float = 0.3) -> Tensor:
    """Mean over the batch of max(0, margin + farthest own - nearest other), in Euclidean distance.

    ``features`` is (b, d), ``identities`` (b,). Hermans, Beyer, Leibe, "In Defense of the Triplet Loss", 2017, Eq. 5.
    The batch must hold several images of each identity; :class:`NaswildError` if it holds a single identity, for which
    no image is another's.
    """
    if bool((identities == identities[0]).all()):
        raise NaswildError(f"the triplet loss needs two identities, all {len(identities)} images show the same one")
    distances = torch.cdist(features.float(), features.float(), compute_mode="donot_use_mm_for_euclid_dist")
    same = identities[:, None] == identities[None, :]
    farthest = distances.masked_fill(~same, 0).amax(dim=1)
    nearest = distances.masked_fill(same, float("inf")).amin(dim=1)
    return F.relu(margin + farthest - nearest).mean()
