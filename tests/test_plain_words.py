"""The checker of words: what it finds in each kind of file, and what it lets pass."""

from pathlib import Path

import pytest
from django.conf import settings

from deploy.plain_words import RULES, problems

ROOT = Path(settings.BASE_DIR)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Reports of venues."""\n', "“venues”: exchange"),
        ("# whoever asks\n", "“whoever”: a noun"),
        ("x = 1  # Redis was told\n", "“told”: say"),
        ('log("Redis not told: %s")\n', "“told”: say"),
        ('"""Wait.\n\nThe decoder takes a short\nway.\n"""\n', "“short way”: fast path"),
        ('"""Lake for who reads it."""\n', "“for who”: a noun"),
        ('"""Check.\n\nAll is well."""\n', "“is well”: healthy"),
        ('def title() -> None:\n    """Its title."""\n', "“Its title.”: begin with"),
        ('def title() -> None:\n    """The title."""\n', "“The title.”: it repeats the name"),
        ('class StackError(Exception):\n    """A stack error."""\n', "repeats the name"),
        ('def ill() -> None:\n    """Things found."""\n', "“ill”: a name"),
        ("for told in ():\n    pass\n", "“told”: a name"),
    ],
)
def test_wrong_words_of_python_are_named_with_the_right_ones(source: str, found: str) -> None:
    assert found in "\n".join(problems("some.py", source))


@pytest.mark.parametrize(
    "source",
    [
        '"""Quotes of the exchange."""\n',
        '"""A process that works as well as the other."""\n',
        '"""Well-known coins, well below the limit: all is well under way."""\n',
        'def price() -> None:\n    """Price in quote currency."""\n',
        "still = filled = hearth = 1\n",
        'KEY = "told"\n',  # a value on the wire is one word
        "row.told\n",  # another module's name is its own matter
    ],
)
def test_right_words_pass(source: str) -> None:
    assert problems("some.py", source) == []


def test_the_line_is_that_of_the_word() -> None:
    assert problems("some.py", '"""Read.\n\nFirst,\nand anew.\n"""\n') == ["some.py:4: “anew”: again"]
    assert problems("docs/some.md", "# Title\n\nBegins anew.\n") == ["docs/some.md:3: “anew”: again"]


def test_of_javascript_the_comments_are_read() -> None:
    code = 'const told = "https://anew"; // heard\n/** Whoever\n asks. */\ntold();\n'
    assert [each.split(": ")[1] for each in problems("some.js", code)] == ["“heard”", "“whoever”"]


def test_every_rule_says_what_to_write() -> None:
    assert all(RULES.values())
