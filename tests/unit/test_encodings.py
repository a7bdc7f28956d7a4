"""Tests that every text file, and the output of every program, is read and written as UTF-8 in any locale."""

import ast
from collections.abc import Iterator

import pytest

from bench.paths import ROOT

FOLDERS = ("bench", "transports", "shop", "scenarios", "examples")
POSITION = {"read_text": 0, "write_text": 1, "open": 3, "fdopen": 3, "NamedTemporaryFile": 2, "TextIOWrapper": 1}
"""Functions that open a text file, and where their encoding stands when it is given without its name."""
RUNNERS = ("run", "Popen", "check_output")
"""Functions of subprocess whose output is text with ``text=True``."""


def find_unnamed_encodings(tree: ast.AST) -> Iterator[int]:
    """Yields the lines of calls that open a text file in the encoding of the locale."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        keywords = {word.arg: word.value for word in call.keywords}
        if "encoding" in keywords:
            continue
        gives_text = name in RUNNERS and {"text", "universal_newlines"} & keywords.keys()
        if gives_text or (name in POSITION and not _is_binary_or_named(call, name, keywords)):
            yield call.lineno


def _is_binary_or_named(call: ast.Call, name: str, keywords: dict[str | None, ast.expr]) -> bool:
    of_a_path = name == "open" and isinstance(call.func, ast.Attribute)
    place = POSITION[name] - of_a_path
    if len(call.args) > place:
        return True
    if name in ("read_text", "write_text", "TextIOWrapper"):
        return False
    modes = [keywords["mode"]] if "mode" in keywords else call.args[0 if of_a_path or name[0] == "N" else 1 :][:1]
    if not modes:
        # A method called open with no mode opens a path; with something else it opens a run, an archive or a page.
        return name == "NamedTemporaryFile" or (of_a_path and bool(call.args))
    (mode,) = modes
    if not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)):
        return of_a_path
    return "b" in mode.value


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, 'utf-8')", False),
        ("path.write_text(text, encoding='utf-8')", False),
        ("path.open()", True),
        ("path.open('w')", True),
        ("path.open('ab')", False),
        ("path.open(mode='w', newline='')", True),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("open(path, 'w', 1, 'utf-8')", False),
        ("RunFolder.open(path)", False),
        ("NamedTemporaryFile()", False),
        ("NamedTemporaryFile('w')", True),
        ("subprocess.run(words, text=True)", True),
        ("subprocess.run(words)", False),
    ],
)
def test_a_call_without_its_encoding_is_found(source: str, found: bool) -> None:
    assert list(find_unnamed_encodings(ast.parse(source))) == ([1] if found else [])


def test_every_text_file_names_its_encoding() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 200
    unnamed = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in paths
        for line in find_unnamed_encodings(ast.parse(path.read_text("utf-8")))
    }
    assert unnamed == set()
