"""Rules a newcomer may rely on: paths and names in texts lead somewhere, folders and files stay small."""

import ast
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from django.apps import apps
from django.conf import settings

from tests.support.trials import TRIALS

ROOT: Final = Path(settings.BASE_DIR)
ROOMS: Final = (
    "accounts", "agents", "arbsite", "attack", "audit", "benchmarks", "collectors", "core", "deploy",
    "engine", "history", "markets", "monitoring", "opportunities", "orderbook", "realtime", "simulator",
    "tests",
)  # fmt: skip
MOST_LINES: Final = 500
MOST_MODULES: Final = 22
FILES: Final = (".md", ".py", ".js", ".yml", ".json", ".sql", ".log")
GENERATED: Final = ("_pb2.py", "_pb2.pyi", "/migrations/")

_PATH: Final = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|js|html|yml|toml|txt|css|example))`")
_MODELS: Final = {model._meta.model_name for model in apps.get_models()}
_FENCED: Final = re.compile(r"```.*?```", re.DOTALL)
_DOTTED: Final = re.compile(rf"(?<![/.\w-])((?:{'|'.join(ROOMS)})(?:\.[a-z_][a-z0-9_]*)+)(?:\.[A-Z_]\w*)*")


@cache
def tracked() -> tuple[str, ...]:
    """Every file of the project, as git lists them."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def sources(*endings: str) -> list[str]:
    """Files of our own writing."""
    return [name for name in tracked() if name.endswith(endings) and not any(g in name for g in GENERATED)]


@cache
def modules() -> frozenset[str]:
    """Dotted names of all modules and packages."""
    parts = [Path(name).with_suffix("").parts for name in tracked() if name.endswith(".py")]
    names = {".".join(each[: end + 1]) for each in parts for end in range(len(each))}
    return frozenset(names)


@cache
def words_of(name: str) -> str:
    """Text that a person reads of a Python file: its comments and docstrings; of another file, all of it."""
    text = (ROOT / name).read_text()
    if not name.endswith(".py"):
        return _FENCED.sub("", text)
    tree = ast.parse(text)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    comments = [line.partition("# ")[2] for line in text.splitlines() if "# " in line]
    return "\n".join([*docstrings, *comments])


def test_no_file_is_longer_than_a_person_reads() -> None:
    long = {name: lines for name in sources(".py", ".js") if (lines := _lines(name)) > MOST_LINES}
    assert long == {}


def _lines(name: str) -> int:
    return (ROOT / name).read_text().count("\n")


def test_no_folder_is_a_heap() -> None:
    folders = Counter(
        str(Path(name).parent) for name in sources(".py", ".js") if not name.endswith("__init__.py")
    )
    assert {folder: count for folder, count in folders.items() if count > MOST_MODULES} == {}


@pytest.mark.parametrize("name", [each for each in tracked() if each.endswith(".md")])
def test_paths_in_a_document_lead_somewhere(name: str) -> None:
    if name == "CHANGELOG.md":
        return  # says what was
    named = set(_PATH.findall((ROOT / name).read_text()))
    found = {path for path in named if not path.startswith(("var/", "../")) and not path.endswith("ninth.py")}
    assert {path for path in found if not _is_there(path, name)} == set()


def _is_there(path: str, named_in: str) -> bool:
    places = (ROOT, (ROOT / named_in).parent, *(ROOT / room for room in ROOMS))
    return any((place / path).exists() for place in places)


def test_modules_named_in_docstrings_comments_and_documents_are_there() -> None:
    dangling = {
        f"{name}: {dotted}"
        for name in sources(".py", ".md")
        if name != "CHANGELOG.md" and not name.startswith("docs/decisions/")
        for dotted in _DOTTED.findall(words_of(name))
        if not dotted.endswith(FILES) and not _resolves(dotted)
    }
    assert dangling == set()


def _resolves(dotted: str) -> bool:
    """Whether it is a module, a name in one, or Django's name of a model or a right (`audit.view_entry`)."""
    parent, _, last = dotted.rpartition(".")
    if dotted in modules() or last in _MODELS or last.startswith(("view", "add", "change", "delete")):
        return True
    if parent not in modules():
        return False
    for path in (ROOT / f"{parent.replace('.', '/')}.py", ROOT / parent.replace(".", "/") / "__init__.py"):
        if path.exists() and re.search(rf"\b{last}\b", path.read_text()):
            return True
    return False


def test_modules_named_in_strings_are_there() -> None:
    """Settings, patches and programs name modules in strings, which no import checks."""
    named = re.compile(rf"(?:{'|'.join(ROOMS)})\.[a-z]\w*(?:\.\w+)+")
    dangling = set()
    for name in sources(".py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            text = node.value
            if (
                named.fullmatch(text)
                and not text.endswith((*FILES, ".nothing.Here"))
                and not text.startswith("orderbook.rpi.")  # a topic of Bybit's
                and not _leads_somewhere(text)
            ):
                dangling.add(f"{name}: {text}")
    assert dangling == set()


def _leads_somewhere(text: str) -> bool:
    """Whether the longest part of it that is a module has the next part as a name of its own."""
    parts = text.split(".")
    known = max(end for end in range(len(parts) + 1) if end == 0 or ".".join(parts[:end]) in modules())
    return known >= 1 and (known == len(parts) or _resolves(".".join(parts[: known + 1])))


def test_every_trial_is_there() -> None:
    for path, _, name in (each.partition("::") for each in TRIALS):
        assert (ROOT / path).exists(), path
        assert f"def {name}" in (ROOT / path).read_text() if name else True, name


def test_a_module_s_logger_has_one_name() -> None:
    other = re.compile(r"^(?!logger\b)\w+ = logging\.getLogger\(__name__", re.MULTILINE)
    assert [path for path in sources(".py") if other.search((ROOT / path).read_text())] == []
