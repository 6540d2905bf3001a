"""The doctor's findings where a newcomer may stand: in a checkout that is not installed."""

import pytest

from benchmarks import doctor
from nas import native


def test_a_checkout_that_is_not_installed_is_said_and_looked_at(monkeypatch, tmp_path):
    known = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "naswild" else known(name))

    def requires(name):
        raise AssertionError(f"asked for the requirements of {name}, which is not installed")

    monkeypatch.setattr(doctor, "requires", requires)
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    assert findings["naswild"].state == "missing"
    assert "pip install -e ." in findings["naswild"].text
    assert findings["torch"].state == "ok"
    assert findings["convolutions of a search"].text


@pytest.mark.parametrize("off", ["0", ""])
def test_absent_kernels_are_missing_unless_they_were_turned_off(monkeypatch, off):
    absent = native.Native(None, "PyTorch (no C++ compiler: looked for g++, clang++; a search is slower)")
    monkeypatch.setattr(native, "_load", lambda: absent)
    monkeypatch.setenv("NASWILD_NATIVE", off)
    (finding,) = [found for found in doctor._accelerators() if found.name == "convolutions of a search"]
    assert (finding.state, finding.text) == ("ok" if off else "missing", absent.reason)
