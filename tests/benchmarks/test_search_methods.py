"""Each method is what its name says: its own recipe under a protocol, refused without its defining setting."""

from itertools import combinations

import pytest
import torch

from benchmarks.planner import make_plan
from benchmarks.protocol import load_protocol
from benchmarks.suite import Suite
from benchmarks.yamlfile import Document, validate
from nas.errors import NaswildError
from nas.proxies import load_proxy
from nas.search import SearchRecipe, default_recipe, method_names, search
from nas.search import methods as registry

# What is one of its papers' own settings, and no other method's.
DEFINING = {
    "pcdarts": {"partial": 4, "edge_normalisation": True},
    "snas": {"temperature": (1.0, 0.03), "resources": "moderate"},
    "gdas": {"temperature": (10.0, 0.1), "weights_lr_end": 1e-3},
}
ONE_STAGE = [name for name in method_names() if name not in ("pdarts", "random")]
SHORT = {"epochs": 1, "warmup_epochs": 0, "images": 128}


def planned(method, protocol, tmp_path):
    """The job of ``naswild search --method METHOD --protocol PROTOCOL``."""
    content = {
        "name": "s",
        "backbones": [{"search": {"method": method, "on": "digits"}}],
        "protocols": {"search": str(protocol)},
    }
    document = Document(tmp_path / "s.yaml", content, {})
    (job,) = make_plan(validate(Suite, document), document, tmp_path).jobs
    return job


@pytest.mark.parametrize("method", DEFINING)
def test_a_protocol_lies_over_the_methods_own_recipe(method, tmp_path):
    """search-mini-darts names no partial channels and no temperature: those are the method's."""
    recipe = planned(method, "search-mini-darts", tmp_path).protocol.recipe
    assert {name: getattr(recipe, name) for name in DEFINING[method]} == DEFINING[method]
    assert (recipe.cells, recipe.batch_size, recipe.epochs) == ((4,), 64, 4)


def test_a_protocol_of_another_method_has_another_hash(tmp_path):
    hashes = {planned(method, "search-mini-darts", tmp_path).protocol.hash for method in ("darts", *DEFINING)}
    assert len(hashes) == 4


def test_no_two_methods_give_equal_alphas(tmp_path):
    """``search-mini-darts``, seed 0, shortened to one step: every method goes its own way."""
    proxy, found = load_proxy("digits"), {}
    for method in ONE_STAGE:
        recipe = planned(method, "search-mini-darts", tmp_path).protocol.recipe.model_copy(update=SHORT)
        outcome = search(method, proxy, recipe, seed=0, workdir=tmp_path / method)
        found[method] = torch.tensor(outcome.stages[0].alphas["normal"])
    for first, second in combinations(found, 2):
        assert not torch.equal(found[first], found[second]), f"{first} and {second}"


@pytest.mark.parametrize("method", ONE_STAGE)
def test_python_needs_only_what_differs(method, tmp_path):
    """Fields that a recipe was not given are the method's, not P-DARTS'."""
    own = default_recipe(method)
    few = SearchRecipe(
        **{name: getattr(own, name) for name in ("cells", "operations", "channels", "skip_dropout")}, **SHORT
    )
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry, "get_method", lambda name: registry.Method(name, "", own, seen.append))
        with pytest.raises(AttributeError):  # nothing is found
            search(method, load_proxy("digits"), few, seed=0, workdir=tmp_path)
    assert seen[0].recipe == own.model_copy(update=SHORT)


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("pcdarts", {"partial": 1}, "partial is 1 here"),
        ("pcdarts", {"edge_normalisation": False}, "edge_normalisation is false"),
        ("darts", {"partial": 4}, "which is PC-DARTS"),
        ("gdas", {"edge_normalisation": True}, "which is PC-DARTS"),
        ("darts", {"resources": "mild"}, "which is SNAS"),
        ("gdas", {"exact_skips": True}, "two operations of one input"),
        ("snas", {"cells": (3, 3), "operations": (8, 3), "channels": (4, 4), "skip_dropout": (0.0, 0.0)}, "one stage"),
        ("pdarts", {"cells": (8,), "operations": (8,), "channels": (4,), "skip_dropout": (0.0,)}, "several stages"),
    ],
)
def test_a_recipe_that_makes_a_method_another_is_refused(method, changes, words, tmp_path):
    recipe = default_recipe(method, **changes)
    with pytest.raises(NaswildError, match=words):
        search(method, load_proxy("digits"), recipe, seed=0, workdir=tmp_path)
    named = "\n".join(
        f"  {name}: {str(value).lower()}".replace("(", "[").replace(",)", "]").replace(")", "]")
        for name, value in changes.items()
    )
    protocol = tmp_path / "mine.yaml"
    protocol.write_text(f"name: mine\nversion: 1\nstage: search\nsource: us\nrecipe:\n{named}\n")
    with pytest.raises(NaswildError, match=words):
        planned(method, protocol, tmp_path)


@pytest.mark.parametrize("method", DEFINING)
def test_the_shipped_protocol_of_a_method_is_its_published_recipe(method, tmp_path):
    assert planned(method, f"search-cifar10-{method}", tmp_path).protocol.recipe == default_recipe(method)


def test_gdas_learns_at_the_rates_of_its_paper(tmp_path):
    """``search-mini-gdas`` with a quarter of its epochs: samples answer both halves far better than the 10 % of chance.

    Rates and temperatures of the protocol are those of the method's published recipe.
    """
    published = default_recipe("gdas")
    recipe = load_protocol(
        "search-mini-gdas", model="nas.search.recipe:SearchRecipe", base=published.model_dump()
    ).recipe
    for name in ("weights_lr", "weights_lr_end", "weights_momentum", "weights_decay", "alphas_lr", "temperature"):
        assert getattr(recipe, name) == getattr(published, name)
    short = recipe.model_copy(update={"epochs": 15, "validate_last": 0})
    outcome = search("gdas", load_proxy("digits"), short, seed=0, workdir=tmp_path)
    last = outcome.stages[0].trajectory[-1]
    assert last.train_accuracy > 0.15
    assert last.alphas_accuracy > 0.15
