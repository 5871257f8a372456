"""One wiki page as prose: its sections, and in each the words of its links and templates.

A section is parsed on its own, so that broken markup in one never swallows the next, and its braces are balanced
first, so that the parser never has to guess: on unbalanced ones its time grows with the square of their number.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import mwparserfromhell
from mwparserfromhell.nodes import Argument, ExternalLink, HTMLEntity, Node, Tag, Template, Text, Wikilink
from mwparserfromhell.parser import ParserError

from . import marks
from .arguments import Arguments
from .extensions import Extensions
from .options import Options
from .tables import read_tables
from .templates import words_of
from .tidy import tidy
from .variants import choose_variants, converts

DEFAULT = Options()

LONGEST_PIECE = 1 << 16  # characters that are parsed at once, or a little more

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
_APOSTROPHES = re.compile("'{2,}")  # bold and italic
_BRACES = re.compile(r"\{\{|\}\}|\[\[|\]\]")
_UNFINISHED = re.compile(r"[^{}\[\]|\n]{0,100}\|")  # the name of an unfinished template, the target of an unfinished link
_LINK_OUT = re.compile(
    r"(?<!\[)\[(?:https?:|ftp:|mailto:|//)[^\s\[\]<>]*[ \t]*((?:[^\[\]\n]|\[\[[^\[\]\n]*\]\])*)\]", re.IGNORECASE
)
_UNFINISHED_LINK_OUT = re.compile(r"(?<!\[)\[(?=https?:|ftp:|mailto:|//)", re.IGNORECASE)
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
    """Turns the nodes of a parsed section into text, counting what has no words."""

    def __init__(self, options: Options, removed: Counter[str]):
        self.options = options
        self.removed = removed

    def section(self, text: str) -> str:
        text = read_tables(text, self.options.keep_tables, self.removed)
        text = _LINK_OUT.sub(lambda link: link[1] or marks.HOLE, text)
        text = _balance_braces(_UNFINISHED_LINK_OUT.sub("", text))
        if not re.search(r"\[\[|\{\{|&", text):
            return text
        try:
            text = "".join(self._piece(piece) for piece in _pieces(text))
        except (ParserError, RecursionError):
            self.removed["unreadable markup"] += len(text)
            return marks.HOLE
        return choose_variants(text, self.options.variant) if converts(self.options.language) else text

    def _piece(self, text: str) -> str:
        return self.nodes(mwparserfromhell.parse(text, skip_style_tags=True).nodes)

    def nodes(self, nodes: Iterable[Node]) -> str:
        return "".join(self.node(node) for node in nodes)

    def node(self, node: Node) -> str:
        match node:
            case Text():
                return str(node.value)
            case Wikilink():
                return self._link(node)
            case Template():
                return self._template(node)
            case ExternalLink():
                return str(node)  # a bare address: `_LINK_OUT` has the others
            case HTMLEntity():
                return html.unescape(str(node))
            case Tag():  # a list's mark, or a tag that isn't HTML: `List<int>`
                return str(node.wiki_markup or node)
            case Argument():
                return self.nodes(node.default.nodes) if node.default else marks.HOLE
            case _:
                return str(node)

    def _link(self, link: Wikilink) -> str:
        target = self.nodes(link.title.nodes).strip()
        namespace = target.partition(":")[0].strip().lower()
        if ":" in target and namespace in self.options.hidden_namespaces:
            self.removed["files" if link.text else "categories and files"] += len(str(link))
            return marks.HOLE
        if _INTERLANGUAGE.match(target):
            self.removed["links to other languages"] += len(str(link))
            return marks.HOLE
        shown = self.nodes(link.text.nodes) if link.text is not None else target.lstrip(":")
        return shown or re.sub(r"\s*\([^()]*\)$", "", target.lstrip(":"))

    def _template(self, template: Template) -> str:
        words = words_of(self.nodes(template.name.nodes), Arguments(template, self.nodes), self.options)
        if words is None:
            self.removed["templates"] += len(str(template))
            return marks.HOLE
        return words


def _pieces(text: str) -> Iterator[str]:
    """A long section cut behind links and templates: the parser takes some 150 bytes of memory a character."""
    start = depth = 0
    for brace in _BRACES.finditer(text):
        depth += 1 if brace[0] in ("{{", "[[") else -1
        if depth == 0 and brace.end() - start >= LONGEST_PIECE:
            yield text[start : brace.end()]
            start = brace.end()
    yield text[start:]


def _balance_braces(text: str) -> str:
    """Without the `{{`, `}}`, `[[` and `]]` that have no partner. Linear in the length of `text`."""
    open_braces: list[re.Match[str]] = []
    open_templates = 0
    lonely: list[re.Match[str]] = []
    for brace in _BRACES.finditer(text):
        if brace[0] in ("{{", "[["):
            open_braces.append(brace)
            open_templates += brace[0] == "{{"
        elif brace[0] == "]]" and open_braces and open_braces[-1][0] == "[[":
            open_braces.pop()
        elif brace[0] == "}}" and open_templates:
            while open_braces[-1][0] == "[[":
                lonely.append(open_braces.pop())
            open_braces.pop()
            open_templates -= 1
        else:
            lonely.append(brace)
    pieces, position = [], 0
    for brace in sorted([*lonely, *open_braces], key=lambda match: match.start()):
        pieces.append(text[position : brace.start()])
        unfinished = _UNFINISHED.match(text, brace.end()) if brace[0] in ("{{", "[[") else None
        position = unfinished.end() if unfinished else brace.end()
    return "".join([*pieces, text[position:]])
