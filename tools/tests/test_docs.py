"""What the pages tell their readers to type is there."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tools import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```\w*(?: \w+)?\n(.*?)```|`([^`]+)`", re.DOTALL)
MAKE = re.compile(r"\bmake((?: [a-z][a-z0-9-]*)+)((?: [A-Z]+=\S*)*)")
MODULE = re.compile(r"python[\d.]* -m (tools[\w.]*|bench[\w.]*|lab)\b")
OF_ALL_VERBS = {"PROFILE", "INVENTORY"}
PLAYBOOKS = "".join(path.read_text() for path in (ROOT / "ansible").glob("*.yml"))


def recipes() -> dict[str, str]:
    """The verbs of the Makefile, each with the lines that it carries out, and those that say what it needs."""
    found: dict[str, str] = {}
    verbs: list[str] = []
    for line in (ROOT / "Makefile").read_text().splitlines():
        if head := re.match(r"([a-z][a-z0-9 -]*):(?!=)", line):
            verbs = head[1].split()
        for verb in verbs if head or line.startswith(("\t", " ")) else ():
            found[verb] = found.get(verb, "") + line + "\n"
    return found


def commands(page: Path) -> list[str]:
    """The code on a page."""
    return [block or inline for block, inline in CODE.findall(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_verb_and_option_of_a_page_is_in_the_makefile(page: Path) -> None:
    known = recipes()
    for code in commands(page):
        for verbs, options in MAKE.findall(code):
            for verb in verbs.split():
                assert verb in known, code
                for name in {option.split("=")[0] for option in options.split()} - OF_ALL_VERBS:
                    read = re.search(rf"\${{1,2}}\(?{name}\b", known[verb]) or f"env', '{name}'" in PLAYBOOKS
                    assert read, f"make {verb} knows no {name}: {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    for code in commands(page):
        for module in MODULE.findall(code):
            assert importlib.util.find_spec(module), code


def test_every_verb_of_the_runbooks_is_typed_by_a_test_of_the_whole_cluster() -> None:
    typed = {
        node.value
        for path in (ROOT / "tests").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    def verbs(texts: Iterable[str]) -> set[str]:
        return {verb for text in texts for words, _ in MAKE.findall(text) for verb in words.split()}

    # Some are typed as lines of a shell.
    assert verbs(commands(ROOT / "docs" / "operations.md")) - typed - verbs(typed) == set()
