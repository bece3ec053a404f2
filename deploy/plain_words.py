"""Check the words of the project: docs/writing.md, as far as a machine can hold it.

    python deploy/plain_words.py          check every file that git lists
    python deploy/plain_words.py FILE…    check these

Of Python it reads comments, docstrings, other strings of several words, and the names that are defined; of
JavaScript the comments; of documents and templates the whole text.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
ENDINGS: Final = (".py", ".md", ".html", ".js")
GENERATED: Final = ("_pb2.py", "/migrations/")
QUOTING: Final = ("docs/writing.md", "CHANGELOG.md", "deploy/plain_words.py", "tests/test_plain_words.py")
"""Files that name the words which the rest avoids, or say what was."""

RULES: Final = {
    r"venues?": "exchange",
    r"whoever": "a noun: the process that, a user who",
    r"anew": "again",
    r"(?:short|usual) way": "fast path",
    r"tells?|telling|told|untold": "say, publish, report, send, show, distinguish",
    r"hears?|hearing|heard|unheard": "receive",
    r"ill|sick": "unhealthy",
    r"(?:is|are|was|were|be|not|all) well(?! (?:under|below|beyond|above|over|ahead|before)\b)": "healthy",
    r"to be had": "available",
    r"(?:for|to|of|by|with|from|than|beside) who": "a noun: a client that, a user who",
    r"tak(?:e|es|en|ing) over (?:the|a|its|this|every) (?:quote|delta|frame|change|configuration)": "apply",
}
"""Wrong words, and what to write instead."""

FIRST_WORDS: Final = re.compile(r"(?:What|Who|Whose|Whoever|Whom|Its|As|Those|Which)\b(?! (?:of|that)\b)")
"""Words that begin no docstring: its first line is an imperative, or a noun phrase with its subject."""

NAMES: Final = re.compile(
    r"(?:^|_)(?:venues?|whoever|anew|hears?|heard|unheard|tells?|told|untold|ill)(?:_|$)", re.I
)

ALLOWED: Final = {
    "docs/health.md": {"ill": "a parameter's value on the wire"},
    "templates/health/health.html": {"ill": "a parameter's value on the wire"},
    "markets/models/syncs.py": {"tell": "help of a column: another word would be a migration"},
    "monitoring/models/incidents.py": {
        "told": "a column, and its label", "told_at": "a column", "Told": "the choices of a column",
    },
    "monitoring/models/rules.py": {
        "tell_resolved": "a column", "tells_resolved": "named after its column",
    },
    "monitoring/quality/wire.py": {"heard_ms": "a field that travels between versions"},
}  # fmt: skip
"""What a rule finds in a file and is right there, with the reason."""

_RULES: Final = [
    (re.compile(rf"\b(?:{wrong})\b".replace(" ", r"\s+"), re.IGNORECASE), right)
    for wrong, right in RULES.items()
]
_COMMENT: Final = re.compile(r"(?<![:\"'`])//[^\n]*|/\*.*?\*/", re.DOTALL)
_SMALL: Final = frozenset({"a", "an", "the", "its", "this", "of", "one"})
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Found = tuple[int, str, str]
"""Line, wrong words, and what to write instead."""


def files() -> list[str]:
    """List all files of our own writing."""
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # nosec B603 # fixed
    names = [name for name in listed.stdout.splitlines() if name.endswith(ENDINGS) and name not in QUOTING]
    return [name for name in names if not any(each in name for each in GENERATED) and (ROOT / name).is_file()]


def problems(name: str, source: str) -> list[str]:
    """Name the wrong words of a file, each as `file:line: “words”: what to write`."""
    readers = {".py": _of_python, ".js": _of_javascript}
    found = readers.get(Path(name).suffix, _of_text)(source)
    allowed = ALLOWED.get(name, {})
    return [
        f"{name}:{line}: “{words}”: {right}"
        for line, words, right in sorted(set(found))
        if words not in allowed
    ]


def _of_python(source: str) -> Iterator[Found]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from _of_text(node.value, node.lineno)
        elif isinstance(node, _Documented) and (text := ast.get_docstring(node)):
            yield from _of_first_line(node, text.splitlines()[0])
        if (defined := _defined(node)) and NAMES.search(defined):
            yield getattr(node, "lineno", 1), defined, "a name in the trade's words"
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from _of_text(token.string, token.start[0])


def _of_javascript(source: str) -> Iterator[Found]:
    for comment in _COMMENT.finditer(source):
        yield from _of_text(comment[0], 1 + source.count("\n", 0, comment.start()))


def _of_first_line(node: _Documented, first: str) -> Iterator[Found]:
    line = node.body[0].lineno
    if FIRST_WORDS.match(first):
        yield line, first, "begin with an imperative or a noun"
    if not isinstance(node, ast.Module) and _letters(node.name) == _letters(first):
        yield line, first, "it repeats the name: say more, or nothing"


def _letters(words: str) -> str:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).lower()
    return "".join(word for word in re.findall("[a-z]+", apart) if word not in _SMALL)


def _defined(node: ast.AST) -> str:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case (
            ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store())
        ):
            return name
    return ""


def _of_text(text: str, line: int = 1) -> Iterator[Found]:
    for rule, right in _RULES:
        for found in rule.finditer(re.sub(r"\n[ #/*]*", "\n", text)):
            yield line + found.string.count("\n", 0, found.start()), " ".join(found[0].split()).lower(), right


def main(names: list[str]) -> int:
    """Print what is wrong; 1 if anything is."""
    wrong = [each for name in names or files() for each in problems(name, (ROOT / name).read_text())]
    if wrong:
        print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
