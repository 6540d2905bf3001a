"""Graphics cards for jobs that several processes share."""

from __future__ import annotations


def too_few_cards(job: str, processes: int) -> list[str]:
    """A sentence if ``job`` wants more cards than there are; without any card its processes share the processors."""
    import torch

    cards = torch.cuda.device_count()
    if not 0 < cards < processes:
        return []
    return [f"{job} in {processes} processes needs as many graphics cards; {cards} found: lower its processes"]
