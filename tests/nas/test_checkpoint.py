"""Checkpoints and atomic files survive kills, damage and refusing disks."""

import os
import pickle
import resource

import pytest
import torch

from nas.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from nas.errors import NaswildError
from nas.files import atomic_write


def test_a_checkpoint_comes_back_and_none_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "state.pt") is None
    save_checkpoint(tmp_path / "state.pt", {"epoch": 3, "w": torch.arange(4)})
    state = load_checkpoint(tmp_path / "state.pt")
    assert state["epoch"] == 3
    assert torch.equal(state["w"], torch.arange(4))


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_newest_checkpoint_falls_back_with_a_message(tmp_path, caplog, damage):
    path = tmp_path / "state.pt"
    save_checkpoint(path, {"epoch": 1})
    save_checkpoint(path, {"epoch": 2})
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert load_checkpoint(path) == {"epoch": 1}
    assert "damaged" in caplog.text


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_last_checkpoints_are_kept(tmp_path, keep):
    path = tmp_path / "state.pt"
    for epoch in range(6):
        save_checkpoint(path, {"epoch": epoch}, keep)
    names = ["state.pt", "state.pt.prev", "state.pt.prev2", "state.pt.prev3"][:keep]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert [torch.load(tmp_path / name)["epoch"] for name in names] == [5, 4, 3, 2][:keep]
    save_checkpoint(path, {"epoch": 6}, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_fallback_goes_on_to_the_newest_whole_one(tmp_path, caplog):
    path = tmp_path / "state.pt"
    for epoch in range(4):
        save_checkpoint(path, {"epoch": epoch}, keep=4)
    path.write_bytes(b"x")
    (tmp_path / "state.pt.prev").write_bytes(b"y")
    assert load_checkpoint(path) == {"epoch": 1}
    assert caplog.text.count("damaged") == 2


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(tmp_path):
    path = tmp_path / "state.pt"
    save_checkpoint(path, {"epoch": 1})
    save_checkpoint(path, {"epoch": 2})
    path.write_bytes(b"x")
    assert load_checkpoint(path) == {"epoch": 1}
    save_checkpoint(path, {"epoch": 3})
    path.write_bytes(b"x")
    assert load_checkpoint(path) == {"epoch": 1}


def test_two_damaged_checkpoints_are_an_error(tmp_path):
    path = tmp_path / "state.pt"
    save_checkpoint(path, {"epoch": 1})
    save_checkpoint(path, {"epoch": 2})
    path.write_bytes(b"x")
    (tmp_path / "state.pt.prev").write_bytes(b"y")
    with pytest.raises(NaswildError, match="delete them"):
        load_checkpoint(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    (tmp_path / "state.pt").write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(NaswildError):
        load_checkpoint(tmp_path / "state.pt")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_leaves_every_older_checkpoint_whole(tmp_path):
    """The system itself refuses to write beyond a limit, as it does where no space is left."""
    path = tmp_path / "state.pt"
    for epoch in (1, 2):
        save_checkpoint(path, {"epoch": epoch, "w": torch.zeros(1000)})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(NaswildError, match=r"cannot write .*state.pt: File too large"):
            save_checkpoint(path, {"epoch": 3, "w": torch.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_disk_that_refuses_at_the_last_moment_leaves_them_too(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NaswildError, match="No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}
    assert not list(tmp_path.glob("*.tmp"))


def test_atomic_write_makes_folders_and_replaces(tmp_path):
    atomic_write(tmp_path / "a" / "b.txt", b"one")
    atomic_write(tmp_path / "a" / "b.txt", b"two")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"two"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_removal_takes_both(tmp_path):
    save_checkpoint(tmp_path / "s.pt", {})
    save_checkpoint(tmp_path / "s.pt", {})
    remove_checkpoint(tmp_path / "s.pt")
    assert not list(tmp_path.iterdir())
