"""What a search leaves behind: every line of it against its definition."""

import json

import pytest
import torch
from PIL import Image

from nas.images import MemoryImages
from nas.proxies import Proxy, load_proxy
from nas.search import SearchOutcome, SearchRecipe, derive, search
from nas.search.outcome import (
    COLLAPSE,
    StageOutcome,
    count_operations,
    count_survivors,
    describe_collapse,
    leading_operations,
    mean_by_operation,
)
from nas.search.space import CELLS, EDGES, full_space

RECIPE = SearchRecipe(
    cells=(3, 3),
    operations=(8, 5),
    channels=(2, 2),
    skip_dropout=(0.0, 0.5),
    epochs=2,
    warmup_epochs=1,
    batch_size=8,
    validate_last=1,
    max_macs=600_000_000,
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Where a search of two stages has left its outcome."""
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = MemoryImages(pixels, torch.arange(32) % 3)
    proxy = Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 8, "v1")
    folder = tmp_path_factory.mktemp("search")
    search("pdarts", proxy, RECIPE, seed=3, workdir=folder, protocol_hash="0123456789ab")
    return folder


@pytest.fixture(scope="module")
def outcome(workdir):
    return SearchOutcome.load(workdir / "search.json")


def test_the_file_says_where_it_comes_from(workdir):
    written = json.loads((workdir / "search.json").read_text())
    assert (written["method"], written["seed"], written["protocol_hash"]) == ("pdarts", 3, "0123456789ab")
    assert written["recipe"] == RECIPE.model_dump(mode="json")
    assert (written["proxy"], written["proxy_version"], written["classes"]) == ("noise", "v1", ["a", "b", "c"])
    assert written["device"].startswith("cpu")
    assert (written["parts"], written["attempts"]) == (1, 1)
    assert written["within_budget"] is (written["macs"] <= 600_000_000)


def test_every_stage_has_its_genotype_and_those_of_every_m(outcome):
    assert outcome.genotype == outcome.stages[-1].genotype
    for stage in outcome.stages:
        assert stage.genotype == derive(stage.operations, stage.alphas, 2)
        assert list(stage.alternatives) == list(range(9))
        for limit, genotype in stage.alternatives.items():
            assert genotype == derive(stage.operations, stage.alphas, limit)
        assert stage.seconds > 0
        assert stage.peak_memory_bytes > 2**20
        assert stage.parameters > 0
    assert outcome.seconds == sum(stage.seconds for stage in outcome.stages)
    assert outcome.peak_memory_bytes == max(stage.peak_memory_bytes for stage in outcome.stages)


def test_the_trajectory_agrees_with_the_alphas(outcome):
    for stage in outcome.stages:
        for record in stage.trajectory:
            leading = leading_operations(stage.operations, record.alphas)
            assert record.top_operations == count_operations(leading)
            assert record.skips == derive(stage.operations, record.alphas).normal.skips
            assert record.dropout == RECIPE.dropout_rate(stage.stage, record.epoch)
            assert record.learning_rate == RECIPE.learning_rate(record.epoch)
            assert 0 <= record.train_accuracy <= 1
        warm, searching = stage.trajectory
        assert (warm.alphas_loss, warm.alpha_gradients, warm.validation_accuracy) == (None, None, None)
        assert searching.alphas_loss > 0
        assert searching.alpha_gradients.keys() == {name for names in stage.operations["normal"] for name in names} | {
            name for names in stage.operations["reduce"] for name in names
        }


def test_survivors_are_counted_edge_by_edge(outcome):
    """The paper's footnote: 5.3 of 14 leading operations stay from stage 1 to 2, 6.7 from 2 to 3."""
    first, last = outcome.stages
    assert first.survivors is None
    for cell in CELLS:
        same = 0
        for edge in range(len(EDGES)):
            before = max(zip(first.alphas[cell][edge], first.operations[cell][edge]))[1]
            after = max(zip(last.alphas[cell][edge], last.operations[cell][edge]))[1]
            same += before == after
        assert last.survivors[cell] == same
    leading = leading_operations(first.operations, first.alphas)
    assert count_survivors(first, leading) == {"normal": 14, "reduce": 14}
    leading["normal"][0] = "another"
    assert count_survivors(first, leading) == {"normal": 13, "reduce": 14}


def with_skips(stage, skips):
    """The stage with that many skip-connects in the cell of its last epoch."""
    last = stage.trajectory[-1].model_copy(update={"skips": skips})
    return stage.model_copy(update={"trajectory": [*stage.trajectory[:-1], last]})


def test_collapse_is_said_from_five_skip_connects_on(outcome):
    first, last = outcome.stages
    last = with_nones(last, "normal", 0)
    assert describe_collapse([first, with_skips(last, COLLAPSE - 1)]) is None
    assert "5 of 8 edges" in describe_collapse([first, with_skips(last, 5)])
    assert "8 of 8 edges" in describe_collapse([first, with_skips(last, 8)])
    assert describe_collapse([with_skips(first, 8), with_skips(last, 2)]) is None


def with_nones(stage, cell, nones):
    """The stage with "none" the strongest operation on ``count`` edges of a cell, sep_conv_3x3 on the others."""
    last = stage.trajectory[-1]
    counts = {"none": nones, "sep_conv_3x3": len(EDGES) - nones}
    last = last.model_copy(update={"top_operations": {**last.top_operations, cell: counts}, "skips": 0})
    return stage.model_copy(update={"trajectory": [*stage.trajectory[:-1], last]})


def test_collapse_is_said_when_none_leads_more_than_half_of_the_normal_cells_edges(outcome):
    first, last = outcome.stages
    calm = with_nones(last, "normal", 0)
    assert describe_collapse([first, with_nones(calm, "normal", 7)]) is None
    assert "none is the strongest operation on 8 of 14 edges" in describe_collapse([with_nones(calm, "normal", 8)])
    assert "14 of 14 edges" in describe_collapse([first, with_nones(calm, "normal", 14)])
    assert describe_collapse([with_nones(first, "normal", 14), with_nones(calm, "reduce", 14)]) is None
    both = describe_collapse([with_skips(with_nones(calm, "normal", 9), 6)])
    assert "6 of 8 edges" in both
    assert "9 of 14 edges" in both


def test_a_search_that_prefers_skip_connects_says_that_it_has_collapsed(outcome):
    stage = outcome.stages[0]
    row = [0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0]
    skips = derive(full_space(), {cell: [row] * 14 for cell in CELLS}).normal.skips
    assert skips == 8
    assert describe_collapse([with_skips(stage, skips)]).startswith("8 of 8")


def test_means_by_operation_are_over_all_edges_that_have_it():
    operations = {"normal": [["a", "b"], ["b", "c"]], "reduce": [["a", "c"], ["a", "b"]]}
    values = {"normal": [[1.0, 2.0], [4.0, 5.0]], "reduce": [[2.0, 6.0], [3.0, 3.0]]}
    assert mean_by_operation(operations, values) == {"a": 2.0, "b": 3.0, "c": 5.5}


def test_outcomes_from_before_these_fields_are_still_read(workdir, outcome):
    written = json.loads((workdir / "search.json").read_text())
    del written["protocol_hash"], written["parts"]
    for stage in written["stages"]:
        for record in stage["trajectory"]:
            del record["alpha_gradients"]
    read = SearchOutcome.model_validate(written)
    assert (read.parts, read.protocol_hash) == (1, None)
    assert isinstance(read.stages[0], StageOutcome)
    assert read.genotype == outcome.genotype


def test_the_classes_of_a_seeded_subset_are_in_the_result(tmp_path):
    """ImageNet with 100 of 1,000 classes in small: 100 of 110 folders, drawn by a seed, listed in search.json."""
    data = tmp_path / "imagenet"
    for number in range(110):
        for part, count in (("train", 2), ("val", 1)):
            folder = data / part / f"n{number:08}"
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (8, 8), (number, index, 0)).save(folder / f"{index}.png")
    lists = []
    for seed in (0, 0, 1):
        proxy = load_proxy("imagenet100", root=data, image_size=8, subset_seed=seed)
        search("random", proxy, seed=0, workdir=tmp_path / f"{len(lists)}")
        lists.append(json.loads((tmp_path / f"{len(lists)}" / "search.json").read_text())["classes"])
    assert len(set(lists[0])) == 100
    assert lists[0] == lists[1] != lists[2]
    assert lists[0] == sorted(lists[0])
