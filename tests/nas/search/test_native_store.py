"""The compiled library: built once, kept where nobody else can write, checked before it is loaded, done without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas import native
from nas.native import store
from nas.native.store import keep, kept, private_folder

COMPILER = native._compiler() if native.kernels() is not None else None
needs_compiler = pytest.mark.skipif(COMPILER is None, reason=native.status())
SOURCE = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own and a source that compiles in a moment."""
    source = tmp_path / "source" / "answer.cpp"
    source.parent.mkdir()
    source.write_text(SOURCE)
    monkeypatch.setattr(native, "SOURCE", source)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NASWILD_NATIVE", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was compiled so far."""
    made: list[str] = []
    build = native._compile

    def count(compiler: list[str]) -> bytes:
        made.append(compiler[0])
        return build(compiler)

    monkeypatch.setattr(native, "_compile", count)
    return made


def load() -> native.Native:
    return native._load.__wrapped__()


def libraries(home: Path) -> list[Path]:
    return sorted((home / "cache" / "naswild" / "native").glob("*.so"))


@needs_compiler
def test_it_is_built_once_in_a_folder_of_the_owner_alone(home: Path, builds: list[str]) -> None:
    first, second = load(), load()
    assert first.library is not None and second.library is not None
    assert first.library.answer() == 42
    (path,) = libraries(home)
    assert first.reason == second.reason == f"native kernels ({path})"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(builds) == 1


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)  # loading it would end in SIGBUS


def _replace(path: Path) -> None:
    path.write_bytes(b"not a library")


def _rename(path: Path) -> None:
    """A file that is what its name says and no library: another system's, say."""
    name = path.name.rpartition("-")[0]
    path.unlink()
    keep(path.parent, name, b"of another system")


@needs_compiler
@pytest.mark.parametrize("harm", [_truncate, _replace, _rename])
def test_a_broken_library_is_built_again_once(
    home: Path, builds: list[str], caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    load()
    (path,) = libraries(home)
    original = path.read_bytes()
    path.unlink()  # a library that is loaded keeps its file
    path.write_bytes(original)
    harm(path)
    assert load().library is not None
    assert len(builds) == 2
    assert "built again" in caplog.text
    assert libraries(home) == [path]
    assert path.read_bytes() == original


def test_a_foreign_file_is_not_taken_for_a_library(tmp_path: Path) -> None:
    path = keep(tmp_path, "separable-00", b"ours")
    assert kept(tmp_path, "separable-00") == path
    (tmp_path / "separable-00-somebody.so").write_bytes(b"theirs")
    path.write_bytes(b"theirs")
    assert kept(tmp_path, "separable-00") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoil", [lambda folder: folder.chmod(0o755), lambda folder: folder.chmod(0o770), None])
def test_a_folder_that_others_can_enter_is_not_used(home: Path, spoil: Callable[[Path], None] | None) -> None:
    folder = private_folder()
    if spoil is None:  # a link to where somebody else may write
        folder.rename(home / "elsewhere")
        folder.symlink_to(home / "elsewhere")
    else:
        spoil(folder)
    assert private_folder() == home / f"naswild-native-{os.getuid()}"


def test_nor_is_another_users(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    private_folder()
    (home / "naswild-native-4711").mkdir(mode=0o700)
    monkeypatch.setattr(store.os, "getuid", lambda: 4711)
    found = load()
    assert found.library is None
    assert "naswild-native-4711 is open to others or another user's: delete it" in found.reason
    assert "no compiled kernels, PyTorch's operations are used" in caplog.text


def test_without_a_home_directory_the_temporary_files_are_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert private_folder() == home / f"naswild-native-{os.getuid()}"


@needs_compiler
def test_a_compiler_of_several_words(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = home / "bin" / "ccache"
    wrapper.parent.mkdir()
    wrapper.write_text('#!/bin/sh\nexec "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CXX", f"ccache {COMPILER[0]}")
    assert load().library.answer() == 42


@pytest.mark.parametrize(
    ("cxx", "words"),
    [
        ("no-such-compiler -O2", "no C++ compiler: looked for CXX=no-such-compiler -O2"),
        ('g++ "', 'CXX=g++ " cannot be read as a command: No closing quotation'),
        ("{home}/broken", "fatal: no such flag"),
        ("{home}/not-a-program", "Exec format error"),
        ("{home}/empty", "file too short"),
    ],
)
def test_what_a_compiler_says_is_said_and_done_without(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cxx: str, words: str
) -> None:
    scripts = {
        "broken": "#!/bin/sh\necho 'fatal: no such flag' >&2\nexit 1\n",
        "not-a-program": "\0",
        "empty": '#!/bin/sh\nfor last; do :; done\n[ "$last" = --version ] || : > "$last"\n',
    }
    for name, text in scripts.items():
        (home / name).write_text(text)
        (home / name).chmod(0o755)
    monkeypatch.setenv("CXX", cxx.format(home=home))
    found = load()
    assert found.library is None
    assert words in found.reason
    assert words in caplog.text
    assert len(caplog.records) == 1


def test_they_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWILD_NATIVE", "0")
    assert load() == (None, "PyTorch (NASWILD_NATIVE is 0)")


@needs_compiler
def test_the_doctor_survives_a_truncated_library(home: Path) -> None:
    code = "from nas import native; from pathlib import Path; native.SOURCE = Path({!r}); print(native.status())"
    command = [sys.executable, "-c", code.format(str(native.SOURCE))]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"native kernels ({libraries(home)[0]})\n"), done.stderr
        _truncate(libraries(home)[0])
