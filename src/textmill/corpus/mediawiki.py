"""A MediaWiki XML dump, page by page, in the memory of one page.

The stdlib's expat reads it; a dump declares no document type, so one that does (the way of entity bombs) is refused.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ..errors import CorpusError
from .document import Document, Drop, Found
from .settings import CorpusSettings
from .streams import Advance, TruncatedError, byte_chunks
from .wikitext import HIDDEN_NAMESPACES, Options, prose

LONGEST_PAGE = 1 << 21  # characters: MediaWiki itself stops at 2 MiB
_ENDS_TOO_EARLY = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
_REDIRECT = re.compile(r"^\s*#\s*[^\W\d]+\s*:?\s*\[\[")
_FILES_AND_CATEGORIES = ("6", "14", "-2")
_KEPT = frozenset({"title", "ns", "id", "model", "text"})


@dataclass(frozen=True)
class Article:
    """A page of the dump as it stands there: reading its markup is the costly part, and any process can do it."""

    id: str
    source: str
    title: str
    language: str
    text: str
    hidden_namespaces: frozenset[str]

    def read(self, settings: CorpusSettings) -> Document | Drop:
        """Its prose, or a Drop where it has none."""
        options = Options(
            hidden_namespaces=self.hidden_namespaces,
            language=self.language,
            variant="zh-hant" if settings.chinese_script == "traditional" else "zh-hans",
            keep_tables=settings.tables == "keep",
            keep_infoboxes=settings.infoboxes == "keep",
        )
        result = prose(self.text, options)
        if not result.text:
            return Drop(self.id, self.source, "reader", "no prose", self.title)
        removed = {"removed_markup": dict(sorted(result.removed.items()))}
        return Document(result.text, self.id, self.source, self.title, self.language, removed)


@dataclass
class _Page:
    title: str = ""
    namespace: str = ""
    id: str = ""
    model: str = "wikitext"
    redirect: bool = False
    pieces: list[str] = field(default_factory=list)
    length: int = 0


class _Dump:
    """What the parser tells, gathered into pages. A page with several revisions keeps the last."""

    def __init__(self, path: Path):
        self.path = path
        self.pages: list[_Page] = []
        self.namespaces: dict[str, str] = {}
        self.language = ""
        self._page: _Page | None = None
        self._open: list[str] = []
        self._text: list[str] = []
        self._key = ""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype

    def _refuse_doctype(self, name: str, *_: object) -> None:
        if name.lower() == "html":
            raise CorpusError(_web_page(self.path))
        raise CorpusError(
            f"{self.path} declares a document type, which no MediaWiki dump does and which can hide an entity bomb; "
            "it was refused"
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._open:
            if name.lower() == "html":
                raise CorpusError(_web_page(self.path))
            if name != "mediawiki":
                raise CorpusError(
                    f"{self.path} is no MediaWiki dump: its root element is <{name[:40]}>, not <mediawiki>; give a "
                    "dump such as …-pages-articles.xml.bz2, or a text in another format"
                )
            self.language = attributes.get("xml:lang", "")
        self._open.append(name)
        self._text = []
        if name == "page":
            self._page = _Page()
        elif name == "namespace":
            self._key = attributes.get("key", "")
        elif self._page and name == "redirect":
            self._page.redirect = True
        elif self._page and name == "revision":
            self._page.pieces, self._page.length = [], 0

    def _characters(self, text: str) -> None:
        element = self._open[-1]
        if element == "text" and self._page:
            self._page.length += len(text)
            if self._page.length <= LONGEST_PAGE:
                self._page.pieces.append(text)
        elif element in _KEPT or element == "namespace":
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._open.pop()
        value = "".join(self._text)
        self._text = []
        if name == "namespace":
            self.namespaces[self._key] = value
        elif self._page is None:
            return
        elif name == "page":
            self.pages.append(self._page)
            self._page = None
        elif name == "model":
            self._page.model = value
        elif self._open[-1] == "page":  # the id of the page, not of its revision or author
            if name == "title":
                self._page.title = value
            elif name == "ns":
                self._page.namespace = value
            elif name == "id":
                self._page.id = value


def _web_page(path: Path) -> str:
    return (
        f"{path} is a web page, not a MediaWiki dump: mostly the page about an error or a log-in that a download saved under "
        "the dump's name; look at it, and download the dump again"
    )


def read_mediawiki(path: Path, name: str, settings: CorpusSettings, advance: Advance | None) -> Iterator[Found]:
    """The articles of a dump, unread. Other namespaces, redirects and empty pages are Drops."""
    dump = _Dump(path)
    drops: Counter[str] = Counter()
    articles = 0
    for _ in _parsed(dump, advance):
        hidden = HIDDEN_NAMESPACES | {dump.namespaces.get(key, "").lower() for key in _FILES_AND_CATEGORIES} - {""}
        for page in dump.pages:
            found = _article(page, name, dump, hidden)
            if isinstance(found, Drop):
                drops[found.rule] += 1
            else:
                articles += 1
            yield found
        dump.pages.clear()
    if not articles:
        pages = sum(drops.values())
        rules = ", ".join(f"{count:,} {rule}" for rule, count in drops.most_common()) or "none"
        raise CorpusError(
            f"{path} is a dump with no articles: {pages:,} pages ({rules}); use a …-pages-articles dump, which has them"
        )


def _parsed(dump: _Dump, advance: Advance | None) -> Iterator[None]:
    """Feed the dump chunk by chunk; after each, the finished pages wait in `dump.pages`."""
    try:
        for chunk in byte_chunks(dump.path, advance):
            dump.parser.Parse(chunk)
            yield
        dump.parser.Parse(b"", True)
        yield
    except expat.ExpatError as error:
        if error.code in _ENDS_TOO_EARLY:
            raise TruncatedError from error
        raise CorpusError(
            f"{dump.path} is not well-formed XML: {expat.ErrorString(error.code)} at line {error.lineno:,}, column "
            f"{error.offset:,} (byte {dump.parser.ErrorByteIndex:,}); download it again, or mend that place"
        ) from error


def _article(page: _Page, name: str, dump: _Dump, hidden: frozenset[str]) -> Article | Drop:
    def drop(rule: str, value: int | str = "", threshold: int | str = "") -> Drop:
        return Drop(page.id, name, "reader", rule, page.title, value, threshold)

    namespace = page.namespace or _namespace_in_title(page.title, dump.namespaces)
    if namespace != "0":
        return drop("other namespace", dump.namespaces.get(namespace, namespace))
    if page.length > LONGEST_PAGE:
        return drop("page too long", page.length, LONGEST_PAGE)
    text = "".join(page.pieces)
    if page.redirect or _REDIRECT.match(text):
        return drop("redirect")
    if page.model != "wikitext":
        return drop("no wikitext", page.model)
    if not text.strip():
        return drop("empty page")
    return Article(page.id, name, page.title, dump.language, text, hidden)


def _namespace_in_title(title: str, namespaces: dict[str, str]) -> str:
    """Dumps from before 2012 say the namespace in the title only."""
    prefix = title.partition(":")[0] if ":" in title else ""
    return next((key for key, named in namespaces.items() if prefix and named == prefix), "0")
