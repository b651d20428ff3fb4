"""The layout of the repository and the marks of unfinished or private things in its text.

Forbidden words are put together from parts here, so that this file passes its own checks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

LINES_MAX = 500

TOP_LEVEL = (
    ".ci",
    ".gitignore",
    ".importlinter",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements-dev.txt",
    "requirements.txt",
    "schemas",
    "seeds",
    "sim",
    "tests",
    "vdb",
)

EMPTY_NAMES = ("utils.py", "util.py", "helpers.py", "common.py", "misc.py")

WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b"), "finish it, or leave it out"),
    (re.compile(r"(?<![\w.$})*-])/(wo" + r"rk|ho" + r"me|ro" + r"ot|Us" + r"ers)/"), "a path of one machine"),
    (
        re.compile(r"py" + r"pi\.org|python" + r"hosted\.org|file:/" + r"/+\w|/sim" + r"ple/?\b"),
        "a package index's address",
    ),
    (re.compile(r"--(extra-)?ind" + r"ex-url|--find" + r"-links [^-]"), "a package index"),
    (re.compile(r"(?i)\bissue" + r" #?\d|\(#" + r"\d+\)"), "the code stands without its tracker"),
)

TEXT_SUFFIXES = (".py", ".capnp", ".md", ".toml", ".txt", ".json", ".cfg", ".ini", "")


def check_length(path: str, text: str) -> list[str]:
    lines = text.count("\n") + (not text.endswith("\n") and bool(text))
    return [f"{path}:{lines}: a file has at most {LINES_MAX} lines; this has {lines}"] if lines > LINES_MAX else []


def check_name(path: str, _text: str) -> list[str]:
    if path.rpartition("/")[2] in EMPTY_NAMES:
        return [f"{path}:1: a file is named for what it holds"]
    return []


def check_docstring(path: str, text: str) -> list[str]:
    if path.startswith("tests/") or ast.get_docstring(ast.parse(text)):
        return []
    return [f"{path}:1: a module starts with a docstring that says what it is"]


def check_words(path: str, text: str) -> list[str]:
    return [
        f"{path}:{number}: {why}: {match.group().strip()!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, why in WORDS
        if (match := pattern.search(line))
    ]


def check_top_level(names: list[str], ignored: list[str]) -> list[str]:
    present = [name for name in names if name not in ignored and name != ".git"]
    extra = [f"{name}:1: not one of the agreed top-level entries" for name in present if name not in TOP_LEVEL]
    return extra + [f"{name}:1: missing at the top level" for name in TOP_LEVEL if name not in present]


def ignored_names(root: Path, names: list[str]) -> list[str]:
    """Top-level names that `.gitignore` leaves out; its patterns are plain names and `*.suffix`."""
    patterns = [line.rstrip("/") for line in (root / ".gitignore").read_text().split()]
    return [name for name in names if any(Path(name).match(pattern) for pattern in patterns)]


def text_files(root: Path) -> dict[str, str]:
    """Every text file that the repository keeps, by its path from the root."""
    names = [path.name for path in root.iterdir()]
    ignored = ignored_names(root, names)
    files = []
    for name in sorted(names):
        if name in ignored or name == ".git":
            continue
        files += [root / name] if (root / name).is_file() else sorted((root / name).rglob("*"))
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in files
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def texts(root: Path) -> dict[str, str]:
    return text_files(root)


Check = Callable[[str, str], list[str]]


@pytest.mark.parametrize("check", [check_length, check_name, check_docstring], ids=lambda check: check.__name__)
def test_python_files(check: Check, texts: dict[str, str]) -> None:
    found = [line for path, text in texts.items() if path.endswith(".py") for line in check(path, text)]
    assert not found, "\n" + "\n".join(found)


def test_no_text_holds_forbidden_words(texts: dict[str, str]) -> None:
    found = [line for path, text in texts.items() for line in check_words(path, text)]
    assert not found, "\n" + "\n".join(found)


def test_the_top_level_is_the_agreed_one(root: Path) -> None:
    names = sorted(path.name for path in root.iterdir())
    found = check_top_level(names, ignored_names(root, names))
    assert not found, "\n" + "\n".join(found)


def test_the_checks_look_at_something(texts: dict[str, str]) -> None:
    for path in ("vdb/types.py", "sim/__init__.py", "tests/quality/test_layout.py", "Makefile", ".ci/run"):
        assert path in texts


# Bad samples


def test_a_long_file_is_found() -> None:
    assert check_length("vdb/x.py", "x\n" * 500) == []
    assert check_length("vdb/x.py", "x\n" * 501) == ["vdb/x.py:501: a file has at most 500 lines; this has 501"]
    assert check_length("vdb/x.py", "x\n" * 500 + "y") == ["vdb/x.py:501: a file has at most 500 lines; this has 501"]


@pytest.mark.parametrize("name", EMPTY_NAMES)
def test_an_empty_name_is_found(name: str) -> None:
    assert check_name(f"vdb/kernel/{name}", "") == [f"vdb/kernel/{name}:1: a file is named for what it holds"]
    assert check_name(f"vdb/kernel/not_{name}", "") == []


@pytest.mark.parametrize("source", ["", "x = 1\n", "# only a comment\n", '""""""\n'])
def test_a_missing_docstring_is_found(source: str) -> None:
    assert check_docstring("vdb/x.py", source) == ["vdb/x.py:1: a module starts with a docstring that says what it is"]


@pytest.mark.parametrize(
    "bad",
    [
        "# TO" + "DO: later",
        "x = 1  # FIX" + "ME",
        "open('/wo" + "rk/main/x')",
        "see /ho" + "me/me/notes",
        "https://py" + "pi.org/project/x",
        "https://files.python" + "hosted.org/x",
        "--ind" + "ex-url https://example.org",
        "--extra-ind" + "ex-url https://example.org",
        "fix of issue" + " 12",
    ],
)
def test_a_forbidden_word_is_found_with_its_line(bad: str) -> None:
    found = check_words("vdb/x.py", f'"""A module."""\n\n{bad}\n')
    assert len(found) == 1
    assert found[0].startswith("vdb/x.py:3: ")


@pytest.mark.parametrize(
    "good", ["b'veritydb/v1/ro" + "ot/id'", "the ro" + "ot key", "an issuer", "simply", "$(DIR)/wo" + "rk/x"]
)
def test_what_is_fine_is_not_found(good: str) -> None:
    assert check_words("vdb/x.py", good) == []


def test_a_stray_or_missing_entry_is_found() -> None:
    names = [*TOP_LEVEL, ".git", ".venv"]
    assert check_top_level(names, [".venv"]) == []
    assert check_top_level([*names, "notes.txt"], [".venv"]) == ["notes.txt:1: not one of the agreed top-level entries"]
    assert check_top_level(names[1:], [".venv"]) == [".ci:1: missing at the top level"]
