"""Methods that sample the architecture: SNAS (Xie et al. 2019) and GDAS (Dong and Yang 2019).

Both draw the mixture from a Gumbel softmax whose temperature falls. SNAS uses the soft sample and trains architecture
and weights together on the same batches; GDAS uses the hardened sample, one operation an edge, and alternates.
"""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.recipe import SearchRecipe
from nas.search.steps import Rules
from nas.search.task import SearchTask

# SNAS: 150 epochs of batch 64, Adam with rate 3e-4; its temperatures are our choice. GDAS: 250 epochs of batch 64,
# temperature 10 to 0.1. Everything else as DARTS.
_ONE_STAGE = {
    "cells": (8,),
    "operations": (8,),
    "channels": (16,),
    "skip_dropout": (0.0,),
    "warmup_epochs": 0,
    "batch_size": 64,
    "alphas_lr": 3e-4,
    "max_skips": None,
}
SNAS_DEFAULTS = SearchRecipe.model_validate(_ONE_STAGE | {"epochs": 150, "temperature": (1.0, 0.03)})
GDAS_DEFAULTS = SearchRecipe.model_validate(_ONE_STAGE | {"epochs": 250, "temperature": (10.0, 0.1)})


def search_snas(task: SearchTask) -> SearchOutcome:
    """Soft samples, one level: every batch of the weights' half teaches the architecture too."""
    task.recipe.require_one_stage(task.method)
    return progressive_search(task, Rules(sampling="gumbel", joint=True))


def search_gdas(task: SearchTask) -> SearchOutcome:
    """Hard samples with straight-through gradients, two levels."""
    task.recipe.require_one_stage(task.method)
    return progressive_search(task, Rules(sampling="gumbel_hard"))
