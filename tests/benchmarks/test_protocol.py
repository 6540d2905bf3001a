"""Protocols: loading, validation, and a hash of what matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.protocol import load_protocol, merged, protocol_names
from benchmarks.tasks import get_task
from nas.errors import NaswildError, UnknownName

SEARCH = "nas.search.recipe:SearchRecipe"
RETRAIN = "nas.train_recipe:RetrainRecipe"
EXTENDS_MINI = "name: more\nversion: 1\nstage: retrain\nsource: us\nextends: retrain-mini\n"


def _write(tmp_path: Path, recipe: str, header: str = "", version: int = 1, source: str = "us") -> str:
    path = tmp_path / "p.yaml"
    path.write_text(f"{header}name: p\nversion: {version}\nstage: search\nsource: {source}\nrecipe: {recipe}\n")
    return str(path)


def test_comments_and_source_do_not_change_the_hash(tmp_path: Path) -> None:
    plain = load_protocol(_write(tmp_path, "{epochs: 30}"), model=SEARCH).hash
    assert load_protocol(_write(tmp_path, "{epochs: 30}", header="# note\n", source="them"), model=SEARCH).hash == plain


def test_a_default_written_out_does_not_change_the_hash(tmp_path: Path) -> None:
    left_out = load_protocol(_write(tmp_path, "{}"), model=SEARCH)
    written = load_protocol(_write(tmp_path, f"{{batch_size: {left_out.recipe.batch_size}}}"), model=SEARCH)
    assert written.hash == left_out.hash


@pytest.mark.parametrize("change", [{"recipe": "{epochs: 31}"}, {"recipe": "{epochs: 30}", "version": 2}])
def test_a_hyperparameter_or_a_version_changes_the_hash(tmp_path: Path, change: dict) -> None:
    before = load_protocol(_write(tmp_path, "{epochs: 30}"), model=SEARCH).hash
    assert load_protocol(_write(tmp_path, **change), model=SEARCH).hash != before


def test_a_wrong_hyperparameter_is_found_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match=r"p.yaml:5: recipe.epoch: unknown key; did you mean 'epochs'"):
        load_protocol(_write(tmp_path, "{epoch: 3}"), model=SEARCH)


def test_a_protocol_of_another_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match=r"p.yaml:3: stage: .*for stage 'search', not for 'detect'"):
        load_protocol(_write(tmp_path, "{}"), stage="detect")


def test_an_unknown_name_gives_near_matches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "retrain-mini.yaml").touch()
    monkeypatch.setattr("benchmarks.protocol.FOLDER", tmp_path)
    with pytest.raises(UnknownName, match="unknown protocol 'retrain-mni'; did you mean 'retrain-mini'"):
        load_protocol("retrain-mni")


@pytest.mark.parametrize("name", protocol_names())
def test_every_packaged_protocol_is_valid(name: str) -> None:
    stage = load_protocol(name).stage
    task = next(task for task in map(get_task, ("search", "classify", "detect", "reid")) if task.stage == stage)
    protocol = load_protocol(name, stage, task.recipe)
    assert protocol.name == name
    assert protocol.source


def test_an_extending_protocol_says_only_what_differs(tmp_path: Path) -> None:
    written_out = load_protocol(_write(tmp_path, "{epochs: 40, batch_size: 12}"), model=SEARCH).hash
    _write(tmp_path, "{epochs: 30, batch_size: 12}")
    more = tmp_path / "more.yaml"
    more.write_text("name: more\nversion: 1\nstage: search\nsource: us\nextends: p.yaml\nrecipe: {epochs: 40}\n")
    protocol = load_protocol(str(more), model=SEARCH)
    assert (protocol.recipe.epochs, protocol.recipe.batch_size) == (40, 12)
    assert protocol.hash == written_out
    more.write_text(more.read_text().replace("stage: search", "stage: detect"))
    with pytest.raises(NaswildError, match=r"more.yaml:5: extends: p.yaml must be of stage 'detect'"):
        load_protocol(str(more))


def test_an_extending_protocol_keeps_what_it_does_not_name_in_nested_mappings(tmp_path: Path) -> None:
    base = load_protocol("retrain-mini", "retrain", RETRAIN).recipe
    more = tmp_path / "more.yaml"
    more.write_text(EXTENDS_MINI + "recipe: {augmentation: {flip: true}, network: {channels: 12}}\n")
    recipe = load_protocol(str(more), "retrain", RETRAIN).recipe
    assert recipe.augmentation == base.augmentation.model_copy(update={"flip": True})
    assert (recipe.augmentation.padding, recipe.augmentation.cutout) == (2, 0)
    assert recipe.network == base.network.model_copy(update={"channels": 12})
    more.write_text(EXTENDS_MINI + "recipe: {augmentation: {flip: false}}\n")
    assert load_protocol(str(more), "retrain", RETRAIN).recipe == base


def test_mappings_are_merged_at_every_depth_and_other_values_replaced() -> None:
    base = {"a": {"b": {"c": 1, "d": 2}, "e": [1, 2]}, "f": {"g": 1}, "h": 1}
    over = {"a": {"b": {"c": 3}, "e": [3]}, "f": None, "h": {"i": 1}}
    assert merged(base, over) == {"a": {"b": {"c": 3, "d": 2}, "e": [3]}, "f": None, "h": {"i": 1}}
    assert base["a"] == {"b": {"c": 1, "d": 2}, "e": [1, 2]}


def test_a_search_that_names_a_part_of_the_augmentation_still_has_no_cutout(tmp_path: Path) -> None:
    recipe = load_protocol(_write(tmp_path, "{augmentation: {padding: 2}}"), model=SEARCH).recipe
    assert (recipe.augmentation.padding, recipe.augmentation.cutout) == (2, 0)
