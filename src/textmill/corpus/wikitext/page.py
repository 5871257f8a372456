"""One wiki page as prose: its sections, and in each the words of its links and templates.

A section is read on its own, so that broken markup in one never swallows the next, and its braces are balanced first, so
that nothing has to be guessed.
"""

import functools
import html
import html.entities
import re
import sys
from collections import Counter
from dataclasses import dataclass, field

from . import marks
from .arguments import Arguments
from .extensions import Extensions
from .options import Options
from .pairs import Pairs, Span, balanced_pairs
from .tables import read_tables
from .templates import words_of
from .tidy import tidy
from .variants import choose_variants, converts

DEFAULT = Options()

CLOSING_SECTIONS = frozenset(
    (  # noqa: SIM905
        "see also|references|external links|external link|further reading|notes|footnotes|citations|bibliography|"
        "sources|works cited|notes and references|references and notes|references and further reading|"
        "further reading and external links|literature|secondary sources|primary sources|general references|"
        "参见|參見|参看|參看|参考文献|參考文獻|参考资料|參考資料|外部链接|外部連結|注释|註釋|延伸阅读|延伸閱讀|相关条目|相關條目|来源|來源|"
        "einzelnachweise|weblinks|literatur|siehe auch|voir aussi|liens externes|notes et références|bibliographie|"
        "véase también|referencias|enlaces externos|bibliografía|примечания|литература|ссылки|см. также"
    ).split("|")
)
"""Sections that hold links and sources rather than prose, in the languages with the largest wikis."""

_HEADING = re.compile(rf"^[ {marks.HOLE}]*(={{1,6}})([^\n]+?)\1[ \t{marks.HOLE}]*$", re.MULTILINE)
_APOSTROPHES = re.compile("''+")  # bold and italic
_LINK_OUT = re.compile(
    r"\[(?<!\[\[)(?:https?:|ftp:|mailto:|//)[^\s\[\]<>]*[ \t]*((?:[^\[\]\n]|\[\[[^\[\]\n]*\]\])*)\]", re.IGNORECASE
)
_UNFINISHED_LINK_OUT = re.compile(r"\[(?<!\[\[)(?=https?:|ftp:|mailto:|//)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#0*[0-9]{1,7}|#[xX]0*[0-9a-fA-F]{1,6}|[0-9a-zA-Z]{1,10});")
_TARGET = re.compile(r"(?!//|(?:https?|ftp|mailto):)[^\n\[\]{}<>]*", re.IGNORECASE)
_NAME = re.compile(r"[^\n\[\]{}<>]*")
_INTERLANGUAGE = re.compile(r"(?:[a-z]{2,3}|simple|zh-[a-z-]+|be-tarask|roa-[a-z]+|map-bms|nds-nl|bat-smg|fiu-vro):(?! )")
_NOT_OURS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


@dataclass
class Prose:
    """The text of a page, and how many characters of its markup were left out, by kind."""

    text: str
    removed: Counter[str] = field(default_factory=Counter)


@dataclass
class _Section:
    level: int  # 0 for the lead
    heading: str
    body: str


def prose(wikitext: str, options: Options = DEFAULT) -> Prose:
    """Convert one page. Nothing is raised, whatever the markup."""
    result = Prose("")
    extensions = Extensions(result.removed)
    text = extensions.take_out(_NOT_OURS.sub("", wikitext))
    if converts(options.language):
        text = choose_variants(text, options.variant)
    text = _APOSTROPHES.sub(_plain_apostrophes, text)
    sections = _leave_out_closing(_cut_into_sections(text), result.removed)
    renderer = _Renderer(options, result.removed)
    shown: list[str] = []
    deepest_needed = 0  # a heading above this level has text below it
    for section in reversed(sections):
        body = tidy(renderer.section(section.body))
        if not body and (section.level == 0 or section.level >= deepest_needed):
            continue  # a heading over nothing
        heading = tidy(renderer.section(section.heading))
        shown.append("\n\n".join(part for part in (heading, body) if part))
        deepest_needed = section.level
    result.text = extensions.put_back("\n\n".join(reversed(shown)))
    return result


def _cut_into_sections(text: str) -> list[_Section]:
    sections = [_Section(0, "", "")]
    position = 0
    for heading in _HEADING.finditer(text):
        sections[-1].body = text[position : heading.start()]
        sections.append(_Section(len(heading[1]), heading[2].strip(" ="), ""))
        position = heading.end()
    sections[-1].body = text[position:]
    return sections


def _leave_out_closing(sections: list[_Section], removed: Counter[str]) -> list[_Section]:
    """Without the run of link and source sections (and what is below them) at the page's end."""
    closing, above = [False], 0
    for section in sections[1:]:
        if not (above and section.level > above):
            above = section.level if _plain(section.heading) in CLOSING_SECTIONS else 0
        closing.append(bool(above))
    end = len(sections)
    while closing[end - 1]:
        end -= 1
        removed["closing sections"] += len(sections[end].heading) + len(sections[end].body)
    return sections[:end]


def _plain_apostrophes(run: re.Match[str]) -> str:
    """What a run of apostrophes shows besides turning bold or italic on: of four one, of more than five the rest."""
    return "'" * (1 if len(run[0]) == 4 else max(0, len(run[0]) - 5))


def _plain(heading: str) -> str:
    return re.sub(rf"['\[\]:{marks.HOLE}]", "", heading).strip().lower()


class _Renderer:
    """Turns sections into text, counting what has no words."""

    def __init__(self, options: Options, removed: Counter[str]):
        self.options = options
        self.removed = removed

    def section(self, text: str) -> str:
        text = read_tables(text, self.options.keep_tables, self.removed)
        text = _LINK_OUT.sub(lambda link: link[1] or marks.HOLE, text)
        text = _UNFINISHED_LINK_OUT.sub("", text)
        if "[[" in text or "{{" in text or "]]" in text or "}}" in text:
            pairs = balanced_pairs(text)
            text = self.words(pairs, pairs.whole)
        else:
            text = _shown(text)
        return choose_variants(text, self.options.variant) if converts(self.options.language) else text

    def words(self, pairs: Pairs, span: Span) -> str:
        """What a reader sees of `span`."""
        text, starts, ends, behind = pairs.text, pairs.starts, pairs.ends, pairs.behind
        place, number = span.start, span.first
        pieces = []
        while number < len(starts) and starts[number] < span.end:
            start, end = starts[number], ends[number]
            pieces.append(_shown(text[place:start]))
            place = end
            if end > start:
                if text[start] == "[":
                    pieces.append(self._link(pairs, number))
                elif text[start + 2] == "{" and end < span.end and text[end] == "}":
                    pieces.append(self._default(pairs, number))
                    place += 1
                else:
                    pieces.append(self._template(pairs, number))
            number = behind[number]
        return "".join([*pieces, _shown(text[place : span.end])])

    def _link(self, pairs: Pairs, number: int) -> str:
        inner = pairs.inner(number)
        title, text = pairs.cut(inner, "|") or (inner, None)
        if not _TARGET.fullmatch(pairs.own_text(title)):
            return f"[[{self.words(pairs, inner)}]]"
        target = self.words(pairs, title).strip()
        if ":" in target:
            if target.partition(":")[0].strip().lower() in self.options.hidden_namespaces:
                is_shown = text is not None and text.start < text.end
                self.removed["files" if is_shown else "categories and files"] += pairs.size(number)
                return marks.HOLE
            if _INTERLANGUAGE.match(target):
                self.removed["links to other languages"] += pairs.size(number)
                return marks.HOLE
        shown = target.lstrip(":") if text is None else self.words(pairs, text)
        return shown or re.sub(r"\s*\([^()]*\)$", "", target.lstrip(":"))

    def _template(self, pairs: Pairs, number: int) -> str:
        name, *arguments = pairs.parts(number)
        own = pairs.own_text(name).strip()
        if not _NAME.fullmatch(own) or not (own or pairs.holds(name)):
            return f"{{{{{self.words(pairs, pairs.inner(number))}}}}}"
        words = words_of(self.words(pairs, name), Arguments(pairs, arguments, self.words), self.options)
        if words is None:
            self.removed["templates"] += pairs.size(number)
            return marks.HOLE
        return words

    def _default(self, pairs: Pairs, number: int) -> str:
        """Of an argument `{{{1|…}}}`, which a page shown as such was not given, what stands for it."""
        cut = pairs.cut(pairs.inner(number), "|")
        return (self.words(pairs, cut[1]) if cut else "") or marks.HOLE


def _shown(text: str) -> str:
    """Text without pairs, as a reader sees it: `&ndash;` is a dash."""
    return _ENTITY.sub(lambda entity: _character(entity[0]), text) if "&" in text else text


@functools.lru_cache(1024)
def _character(entity: str) -> str:
    """The character of an HTML entity that MediaWiki knows; others are text."""
    name = entity[1:-1]
    if name[0] == "#":
        known = 0 < (int(name[2:], 16) if name[1] in "xX" else int(name[1:])) <= sys.maxunicode
    else:
        known = name in html.entities.entitydefs
    return html.unescape(entity) if known else entity
