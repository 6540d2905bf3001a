"""Phrases that CONTRIBUTING.md's word list replaced do not come back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = ROOT / "CONTRIBUTING.md"
SUFFIXES = {".py", ".md", ".yaml", ".toml", ".j2", ".js", ".css", ".cpp", ".h", ""}
PHRASES = (
    r"graphics cards?",
    r"a card\b",
    r"one a (processor|stripe|graphics)",
    r"a processor each",
    r"another run is at it",
    r"last word",
    r"named rightly",
    r"first guess",
    r"supernet answers",
    r"can put right",
    r"has to put right",
    r"doctor's letter",
    r"so many\b",
    r"for ever\b",
    r"of one'?s own",
    r"(a|the|with|this) \w+ of one's",
    r"in half a minute",
    r"somebody else's",
    r"as it stands",
    r"where it stands",
    r"goes on where it was",
)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    skipped = {LIST, Path(__file__), ROOT / "LICENSE"}
    return [path for path in paths if path.suffix in SUFFIXES and path not in skipped and path.is_file()]


def test_the_replaced_phrases_do_not_come_back() -> None:
    pattern = re.compile("|".join(rf"(?:{phrase})" for phrase in PHRASES), re.IGNORECASE)
    found = []
    for path in tracked():
        text = re.sub(r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))  # phrases may be broken over lines
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert not found, "see the word list in CONTRIBUTING.md:\n" + "\n".join(found)
