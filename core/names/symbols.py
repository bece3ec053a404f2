"""Names of symbols as people write them: one spelling rule for filters, commands, the API and every search
box.

A name as it is written goes first; only where nobody is called that, upper and lower case and the
separators do not count. Where several are meant then, that is said, and none is chosen.

A list of names, as in a filter, is separated by spaces, commas or semicolons. `*` and `?` stand for any
letters, `!` in front excludes, and double quotes take what is between them literally: names with
spaces, or only this one of two that differ in case. A double quote inside is written twice.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from fnmatch import translate
from functools import lru_cache

from msgspec import Struct

_WORD = re.compile(r'(!?)(?:"((?:[^"]|"")*)"|([^\s,;"]+))')
_ENTRY = re.compile(rf'(?P<between>[\s,;]*)(?P<word>{_WORD.pattern}(?=[\s,;]|$)|!?"[^\n]*|[^\s,;]+|$)')
_GAP = re.compile(r"[,;]\s*[,;][\s,;]*")
_ITEM = re.compile(r'\s*"(?:[^"]|"")*"\s*|[^,]+')
_WILD = re.compile(r"[*?\[]")
_NOT_SPELLED = str.maketrans("", "", "/-_")


class AmbiguousName(LookupError):
    """A name is not spelled as anything is called, and loosely it is several."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"{text} matches {' and '.join(names)}: write it exactly")


def same_letters(name: str) -> str:
    """A name in its one Unicode form, so that a letter typed in two parts is the same letter."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name without upper and lower case; letters that only look alike stay different ones."""
    return same_letters(same_letters(name).casefold())


def letters(name: str) -> str:
    """A name without what two people write differently, and what looks the same: `Gate.io`, `gate IO`."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(each for each in text if each.isalnum()) or text


def loose(name: str) -> str:
    """`BTC/USDT`, `btc-usdt` and `BTCUSDT` are one symbol, `Binance` and `binance` one exchange."""
    return folded(name.translate(_NOT_SPELLED))


class Spellings:
    """Names of things, to find the one that a text means."""

    def __init__(self, names: Iterable[str]) -> None:
        self._called: list[dict[str, list[str]]] = [{}, {}, {}]
        for name in sorted(set(names)):
            for called, spelling in zip(self._called, (same_letters, folded, loose), strict=True):
                called.setdefault(spelling(name), []).append(name)

    def __contains__(self, name: object) -> bool:
        """Whether something is called exactly so."""
        return isinstance(name, str) and same_letters(name) in self._called[0]

    def meant(self, text: str) -> list[str]:
        """All that a text may mean: what is called so, else, without quotes, what is spelled alike."""
        literally, text = unquoted(text), text.strip()
        if literally is not None:
            return self._called[0].get(same_letters(literally), [])
        exact, in_any_case, spelled_alike = self._called
        return (
            exact.get(same_letters(text))
            or in_any_case.get(folded(text))
            or spelled_alike.get(loose(text))
            or []
        )

    def resolve(self, text: str) -> str | None:
        """The one that is meant, None when nothing is called that. Raises AmbiguousName."""
        found = self.meant(text)
        if len(found) > 1:
            raise AmbiguousName(text.strip(), found)
        return found[0] if found else None


def resolve(text: str, names: Iterable[str]) -> str | None:
    """The one of `names` that a text means, None when nothing is called that. Raises AmbiguousName."""
    return Spellings(names).resolve(text)


def unquoted(text: str) -> str | None:
    """Text between the quotes of a quoted name; None when it is not quoted."""
    word = _WORD.fullmatch(text.strip())
    return None if word is None or word[1] or word[2] is None else word[2].replace('""', '"')


def quoted(name: str) -> str:
    """A name as a list of names takes it literally."""
    return '"' + name.replace('"', '""') + '"'


def comma_separated(text: str) -> list[str]:
    """The names of a command's option: commas separate them, except within quotes."""
    return [item.strip() for item in _ITEM.findall(text) if item.strip()]


# --- the parts of a symbol -----------------------------------------------------------------------


def base_of(symbol: str) -> str:
    """The coin that a symbol trades: `BTC` of `BTC/USDT` and of `BTC/USDT:USDT`."""
    return symbol.partition("/")[0]


@lru_cache(maxsize=4096)
def quote_of(symbol: str) -> str:
    """The currency a symbol is priced in: `USDT` of `BTC/USDT` and of `BTC/USDT:USDT`."""
    return symbol.partition("/")[2].partition(":")[0]


# --- lists of names and patterns -----------------------------------------------------------------


class Word(Struct, frozen=True):
    """One entry of a list of names: as `written`, what it names, and what is wrong with it."""

    written: str
    name: str
    exact: bool = False  # in quotes: literally, in this case only
    excluded: bool = False
    problem: str = ""

    @property
    def wild(self) -> bool:
        """Whether it is a pattern."""
        return not self.exact and bool(_WILD.search(self.name))

    def matcher(self) -> Callable[[str], object]:
        """Says of a symbol whether this names it."""
        if self.exact:
            return same_letters(self.name).__eq__
        pattern = re.compile(translate(folded(self.name)))
        return lambda symbol: pattern.match(folded(symbol))


def words(text: str) -> list[Word]:
    """The entries of a list of names, in order, those that name nothing with their problem."""
    found = []
    for entry in _ENTRY.finditer(text):
        if gap := _GAP.search(entry["between"]):
            found.append(Word(gap[0].strip(), "", problem="there is no name between the separators"))
        if entry["word"]:
            found.append(_word(entry["word"]))
    if not found and text.strip():
        found.append(Word(text.strip(), "", problem="it names nothing"))
    return found


def _word(text: str) -> Word:
    match = _WORD.fullmatch(text)
    if match is None:
        return Word(text, "", problem='a quote is not closed; inside a name write it twice: ""')
    exact = match[2] is not None
    name = match[2].replace('""', '"') if exact else match[3]
    return Word(text, name, exact, bool(match[1]), _problem(name, exact))


def _problem(name: str, exact: bool) -> str:
    """Why no symbol is ever called that; empty when one may be."""
    wild = not exact and bool(_WILD.search(name))
    slashes = name.count("/")
    if not name.strip() or (not exact and not name.strip("!")):
        return "it names nothing"
    if not exact and name.startswith("!"):
        return 'one “!” excludes; a name that begins with it stands in quotes: "!X/USDT"'
    if slashes > 1 or (slashes and (name[0] == "/" or name[-1] == "/")):
        return "no symbol is called that: one looks like BTC/USDT, a pattern like ETH/* or *3L/*"
    if wild and "(?!)" in translate(folded(name)):
        return "nothing is between these brackets: write the letters it may be, like [0-9]"
    return ""


def hints(text: str) -> list[str]:
    """Names of a list that are most likely not meant, entry by entry, though it may be written."""
    return [
        f"“{word.written}”: a symbol has two parts, write {word.name}/USDT or {word.name}/*"
        for word in words(text)
        if not word.problem and not re.search(r"[/*?\[]", word.name)
    ]


def problems(text: str) -> list[str]:
    """Problems of a list of names, entry by entry, for the person who wrote it."""
    found = words(text)
    wrong = [f"“{word.written}”: {word.problem}" for word in found if word.problem]
    usable = [word for word in found if not word.problem]
    refused = [word for word in usable if word.excluded]
    everything = [word for word in refused if word.wild and re.fullmatch(r"\*+(/\*+)?", word.name)]
    wrong += [f"“{word.written}”: it excludes every symbol, nothing would be left" for word in everything]
    for word in usable:
        again = [] if word.excluded or everything else [each for each in refused if _undoes(each, word)]
        wrong += [f"“{word.written}”: “{other.written}” excludes it again" for other in again[:1]]
    return wrong


def _undoes(exclusion: Word, word: Word) -> bool:
    """Whether nothing is left of an entry; of a name without quotes other spellings may be."""
    if word.wild:
        return exclusion.wild and folded(exclusion.name) == folded(word.name)
    return exclusion.exact <= word.exact and bool(exclusion.matcher()(word.name))


def literal_names(text: str) -> list[str]:
    """The names of a list that are no patterns and not in quotes: written exactly, or spelled alike."""
    return [word.name for word in words(text) if not (word.problem or word.exact or word.wild)]


def pinned_down(text: str, known: Container[str]) -> str:
    """Return the list with names that are exactly those of known symbols in quotes: only these are meant.

    Without it `omni/USDT` would name `OMNI/USDT`, too. Decided once, where all symbols are known, so that
    a process that sees only a part of them reads the list alike.
    """
    return " ".join(
        f"{'!' * word.excluded}{quoted(word.name)}"
        if not (word.problem or word.exact or word.wild) and same_letters(word.name) in known
        else word.written
        for word in words(text)
    )


def one_by_one(text: str) -> list[tuple[Word, str]]:
    """The entries of a list, each with the exclusions as a list of its own; of exclusions alone: all but."""
    usable = [word for word in words(text) if not word.problem]
    refused = " ".join(word.written for word in usable if word.excluded)
    wanted = [word for word in usable if not word.excluded]
    if not wanted and refused:
        wanted = [Word("*", "*")]
    return [(word, f"{word.written} {refused}".strip()) for word in wanted]


class NameList:
    """A list of names and patterns as a question: does it name this symbol?"""

    def __init__(self, text: str) -> None:
        found = words(text)
        wanted = [word for word in found if not (word.problem or word.excluded)]
        self._refused = [word.matcher() for word in found if word.excluded and not word.problem]
        self._exact = frozenset(same_letters(word.name) for word in wanted if word.exact)
        loosely = [translate(folded(word.name)) for word in wanted if not word.exact]
        self._pattern = re.compile("|".join(loosely)) if loosely else None
        # Exclusions alone leave all others; what cannot be read never widens a list to everything.
        self._all = not wanted and not any(word.problem for word in found)

    def match(self, symbol: str) -> bool:
        """Whether the list names the symbol."""
        named = (
            self._all
            or same_letters(symbol) in self._exact
            or (self._pattern is not None and self._pattern.match(folded(symbol)) is not None)
        )
        return named and not any(refuses(symbol) for refuses in self._refused)


@lru_cache(maxsize=1024)
def matcher(text: str) -> NameList:
    """The list of names as a question; an empty text names every symbol."""
    return NameList(text)


def specificity(word: Word) -> int:
    """Closeness of an entry to its meaning: literal letters count, and no wildcard above all."""
    letters = len(re.sub(r"\[[^\]]*\]|[*?]", "", word.name))
    return letters if word.wild else 10_000 + letters + word.exact


def searcher(text: str) -> Callable[[str], bool]:
    """Predicate of a search box: every word is in the name in any case; a quoted one exactly as written."""
    wanted = list(searched(text))

    def finds(name: str) -> bool:
        exact, loosely = same_letters(name), f"{folded(name)} {folded(name.replace('/', ''))}"
        return all(word in (exact if literally else loosely) for literally, word in wanted)

    return finds


def searched(text: str) -> Iterator[tuple[bool, str]]:
    """The words of a search, each with whether it is literal; others are without upper and lower case."""
    for part in re.finditer(r'"([^"]*)"|(\S+)', text):
        yield (True, same_letters(part[1])) if part[1] else (False, folded(part[2] or ""))
