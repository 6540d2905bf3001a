"""Errors a user can act on: each says what was wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType


class NaswildError(Exception):
    """User-fixable error. The command line prints it as one message and exits with code 2."""


class UnknownName(NaswildError):
    """A name that is not registered, with the nearest names that are."""


class MissingExtra(NaswildError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a ``kind`` (task, suite, genotype, ...) that does not exist: near matches, else the whole list."""
    names = sorted(set(known))
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(repr(n) for n in near) + "?"
    elif names:
        hint = "known: " + ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    else:
        hint = f"no {kind} is registered"
    return UnknownName(f"unknown {kind} {name!r}; {hint}")


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say which extra of this distribution installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra(f'{module} is not installed; install it with: pip install "naswild[{extra}]"') from error
