"""The text ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)`` that DARTS code prints."""

from __future__ import annotations

import ast
from typing import Any

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
MOST_STATES = 100  # in one range


def parse_classic(text: str) -> dict[str, Any]:
    """The fields of a text that begins with ``Genotype(``, from its syntax tree alone: nothing is executed.

    Raises :class:`ValueError` for whatever is not such a text.
    """
    try:
        call = ast.parse(text[: _closing(text)], mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:  # the last two: too deep for the parser
        raise ValueError(str(error)) from error
    if not isinstance(call, ast.Call):
        raise ValueError("expected Genotype(normal=[...], ...)")
    fields = dict(zip(FIELDS, call.args)) | {k.arg: k.value for k in call.keywords if k.arg}
    return {name: _literal(node, name) for name, node in fields.items()}


def _literal(node: ast.expr, field: str) -> Any:
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
    if isinstance(node, ast.Call) and name == "range":
        return _range(node, field)
    try:
        if isinstance(node, ast.Call) and name == "list" and len(node.args) == 1:
            return list(_literal(node.args[0], field))
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{field} is not a plain list: {error}") from error


def _range(node: ast.Call, field: str) -> range:
    """``range(2, 6)`` of integer literals."""
    written = ast.unparse(node)
    try:
        found = range(*(ast.literal_eval(argument) for argument in node.args))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{field} is {written}; write whole numbers, as in range(2, 6)") from error
    if abs(found.stop - found.start) > MOST_STATES:
        raise ValueError(f"{field} is {written}, more than {MOST_STATES} states")
    return found


def _closing(text: str) -> int:
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and character == ")":
            return index + 1
    raise ValueError("a closing parenthesis is missing")
