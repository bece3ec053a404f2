"""No module has a name that nothing uses but tests: not the program, not a setting, not a benchmark.

Each name counts with its module: another module's name of the same spelling does not keep it. What is
decorated is used by its decorator.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.test_conventions import GENERATED, ROOT, modules, tracked

PRODUCT: Final = (
    "accounts", "arbsite", "audit", "collectors", "core", "engine", "history", "markets", "monitoring",
    "opportunities", "realtime", "simulator",
)  # fmt: skip
FRAMEWORKS: Final = re.compile(r"Command|\w+Config|urlpatterns|handler\d+")
"""What Django finds by its name."""

MAY_BE: Final = {
    "accounts.sessions.SessionStore": "Django takes it from the module that SESSION_ENGINE names",
    "engine.charts.thinning.MIN_CAP": "the least cap that `thin` promises to keep, from which its test draws",
    "history.read.reading.open_answers": "how many readers are open: what tests of leaks ask",
    "realtime.scanner.wire.UNKNOWN": "a value of the wire format, beside its siblings",
    "realtime.scanner.wire.PASS": "a value of the wire format, beside its siblings",
    "realtime.scanner.wire.FAIL": "a value of the wire format, beside its siblings",
}

_NAMED: Final = re.compile(r"\b([\w.]+)[.:](\w+)\b")
_ANNOTATION: Final = re.compile(r"[\w\[\]., |\"']{1,200}")

Name = tuple[str, str]
"""Module and name."""


def test_every_name_of_a_module_is_used() -> None:
    unused = {f"{module}.{name}" for module, name in defined() if (module, name) not in used()}
    assert unused == MAY_BE.keys()


def defined() -> Iterator[Name]:
    """Names that modules of the product define at their top level; settings' are the framework's to read."""
    for path in tracked():
        if path.startswith(PRODUCT) and path.endswith(".py") and not _is_exempt(path):
            for name in _names_of(_tree(path)):
                if not name.startswith("__") and not FRAMEWORKS.fullmatch(name):
                    yield _module(path), name


def _is_exempt(path: str) -> bool:
    return path == "arbsite/settings.py" or any(each in path for each in GENERATED)


def _names_of(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.decorator_list:
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                each.id
                for target in targets
                for each in ast.walk(target)
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            )


@cache
def used() -> frozenset[Name]:
    """Names that anything but tests uses: by its name, by import, through its module, or in a string."""
    paths = [path for path in tracked() if path.endswith(".py") and not path.startswith("tests/")]
    return frozenset(use for path in paths for use in _uses(_tree(path), _module(path)))


def _uses(tree: ast.Module, module: str) -> Iterator[Name]:
    called: dict[str, str] = {}  # what the file calls a module
    only_written = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                yield node.module, each.name
                called[each.asname or each.name] = f"{node.module}.{each.name}"
        elif isinstance(node, ast.Import):
            called |= {each.asname or each.name: each.name for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in only_written:
            yield module, node.id
        elif isinstance(node, ast.Attribute) and (of := called.get(ast.unparse(node.value))) in modules():
            yield str(of), node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((found[1], found[2]) for found in _NAMED.finditer(node.value))
            if _ANNOTATION.fullmatch(node.value):
                yield from ((module, word) for word in re.findall(r"\w+", node.value))


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def _module(path: str) -> str:
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")


def test_the_check_finds_what_is_unused_and_only_that() -> None:
    source = """
from there import imported
import elsewhere

ONLY_WRITTEN = {}
USED = 1
UNUSED = 2
_own = 3
named_in_a_string = 4

def function(): return USED + _own
def annotated() -> "USED": function(); ONLY_WRITTEN["a"] = 1
@decorated
def registered(): pass
class Class: pass
"""
    tree = ast.parse(source)
    uses = set(_uses(tree, "here")) | set(_uses(ast.parse("a = 'here.named_in_a_string'"), "settings"))
    assert {name for name in _names_of(tree) if ("here", name) not in uses} == {
        "ONLY_WRITTEN", "UNUSED", "annotated", "Class",
    }  # fmt: skip
    assert ("there", "imported") in uses
