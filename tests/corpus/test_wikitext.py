"""Wikitext becomes prose: words and numbers stay, markup goes, broken markup costs no more than itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.corpus.wikitext import Options, prose


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("'''Bold''' and ''italic'' and '''''both'''''", "Bold and italic and both"),
        ("a [[dog]], [[dog|hound]]s, [[dog (animal)|]] and [[:Category:Dogs|all]]", "a dog, hounds, dog and all"),
        ("[[File:A.jpg|thumb|A [[dog]] and {{lang|fr|chien}}]]Text.[[Category:Dogs]]", "Text."),
        ("[[fr:Chien]][[zh-min-nan:Káu]]Text", "Text"),
        ("See [http://example.org the site] or [http://example.org].", "See the site or."),
        ("{{convert|5|km|mi}}", "5 km"),
        ("{{convert|5|to|10|km|mi}} and {{cvt|5|ft|8|in|m}}", "5 to 10 km and 5 ft 8 in"),
        ("{{convert|2381741|km2|sqmi}} at {{convert|-5|C|F}}", "2,381,741 km² at -5 °C"),
        ("{{convert|1.5|e6acre}}", "1.5 million acres"),
        ("{{lang|la|[[cogito]]}} {{transl|ar|DIN|al-Jazā'ir}}", "cogito al-Jazā'ir"),
        ("{{lang-grc|Φοῖβος}}", "Greek: Φοῖβος"),
        ("{{Nihongo|'''Aikido'''|合気道|Aikidō}}", "Aikido (合気道, Aikidō)"),
        ("{{formatnum:1234567}} {{frac|1|2|3}} {{val|1.5|0.2|e=6|u=kg}}", "1,234,567 1²⁄₃ 1.5 ± 0.2×10⁶ kg"),
        ("{{birth date|1809|2|12}} {{birth date|1809|2|12|df=yes}}", "February 12, 1809 12 February 1809"),
        ("{{As of|2014|5}} and {{as of|2014|lc=y}} {{circa|1500}}", "As of May 2014 and as of 2014 c. 1500"),
        ("''Eagle''{{'s}} 1914{{ndash}}1918{{snd}}war{{mdash}}peace", "Eagle's 1914–1918 – war—peace"),
        ("H<sub>2</sub>O, 10<sup>−5</sup>, {{chem|SO|4|2-}}, 1<sup>st</sup>", "H₂O, 10⁻⁵, SO₄²⁻, 1st"),
        ("{{chem2|Fe2(SO4)3}}, {{chem2|SO4(2-)}}, {{chem2|Na+}}", "Fe₂(SO₄)₃, SO₄²⁻, Na⁺"),
        ("at {{coord|51|30|N|0|7|W|display=inline,title}}, {{coord|51.5|-0.1|type:city}}", "at 51°30′N 0°7′W, 51.5°N 0.1°W"),
        ("London{{coord|51|30|N|0|7|W|display=title}} is\n{{coord|51|30|N|0|7|W}}", "London is"),
        ("(born {{OldStyleDate|February 2|1905|January 20}} – 1982)", "(born February 2 [O.S. January 20] 1905 – 1982)"),
        ("{{OldStyleDate|May 1|1710|}}", "May 1 1710"),
        ("{{circa|1700|1750}}, {{reign|1558|1603}}, {{fl.|1800}}", "c. 1700 – c. 1750, r. 1558–1603, fl. 1800"),
        ("{{NumBlk|:|<math>a=b</math>|1}}\n{{unicode|∀}}, {{mp|1999 RQ|36}}", "$a=b$\n∀, 1999 RQ₃₆"),
        ("{{flagathlete|[[Ann Lee]]|USA}} won", "Ann Lee won"),
        ("{{USA}} and {{GER}} at noon {{est}}.", "United States and Germany at noon."),
        ("{{flag|FRA}}, {{flag|Ruritania}}, {{flagIOC|JPN|2020 Summer}}", "France, Ruritania, Japan"),
        ("[[Bild:A.png|mini|Ein [[Hund]]]][[Imagen:B.jpg|x]]Text", "Text"),
        ("{{quote|Be kind.|[[Ada]]}}", "Be kind.\n— Ada"),
        ("'''Name''' ({{IPAc-en|n|eɪ|m}}) is", "Name is"),
        ("Name ({{IPAc-en|n}} or {{IPAc-en|m}}; born 1900) is", "Name (born 1900) is"),
        ("Name ({{lang-la|Nomen}} {{IPA-la|n}}) is", "Name (Latin: Nomen) is"),
        ("worth $5 (${{inflation|US|5|1929}} in {{CURRENTYEAR}} dollars).", "worth $5."),
        ("A fact.{{citation needed|date=May 2014}} Another {{cn}}, too", "A fact. Another, too"),
        ("A fact.<ref name=a>{{cite web|url=x}}</ref><ref name=a /> More", "A fact. More"),
        ("before <!-- hidden\n== not a heading == --> after", "before after"),
        ("* one\n** two\n# three\n: four\n; five : six", "- one\n- two\n- three\nfour\nfive : six"),
        ("Text\n{| class=wikitable\n|-\n| a || {{small|b}}\n{|\n| inner\n|}\n|}\nMore", "Text\nMore"),
        ("{{Infobox x|name={{convert|5|km}}|a=[[b]]}}\nText", "Text"),
        ("x&nbsp;=&nbsp;1 &ndash; &lt;b&gt;", "x = 1 – <b>"),
        ("<nowiki>{{a}} [[b|c]] ''d''</nowiki>", "{{a}} [[b|c]] ''d''"),
        ("<math>x^{{a}}\n|y|</math> if a <b and c> d", "$x^{{a}} |y|$ if a <b and c> d"),
        ("&foo; &#0; &#x110000; &eacute;&#8211;&#x41; &amp;lt;", "&foo; &#0; &#x110000; é–A &lt;"),
        ("{{{1|a [[b|c]]}}} and {{{2}}} or {{{3|{{lang|la|d}}}}}", "a c and or d"),
        ("[[a\nb|c]] and [[//x.org d]] {{e\nf|g}} {{|h}}", "a\nb|c and //x.org d e\nf|g h"),
        ("{{nowrap|2=b|a}} {{nowrap|text=[[c|{{nowrap|d}}]]}} {{nowrap|²=e|f}}", "a d f"),
        ("call <code>f()</code> and a || b (sic)", "call f() and a || b (sic)"),
        ("-{zh-hans:计算机;zh-hant:電腦}-与-{数学}-", "计算机与数学"),
        ("__NOTOC__Text", "Text"),
    ],
)
def test_markup_becomes_words(markup: str, expected: str) -> None:
    assert prose(markup).text == expected


def test_headings_stand_alone_and_empty_ones_go() -> None:
    page = "Lead.\n== History ==\n=== Early ===\nOld.\n== Gallery ==\n<gallery>\nA.jpg\n</gallery>\n== Now ==\nNew."
    assert prose(page).text == "Lead.\n\nHistory\n\nEarly\n\nOld.\n\nNow\n\nNew."


def test_headings_over_nothing_go_at_the_end_too() -> None:
    assert prose("Lead.\n== Winners ==\n=== 2010s ===\n{|\n| a\n|}\n== References ==\n* B").text == "Lead."


def test_link_sections_go_at_the_end_only_and_are_counted() -> None:
    page = "Lead.\n== Notes ==\nNotes of a scale.\n== Uses ==\nMany.\n"
    page += "== See also ==\n* [[A]]\n== References ==\n=== Books ===\n* B"
    result = prose(page)
    assert result.text == "Lead.\n\nNotes\n\nNotes of a scale.\n\nUses\n\nMany."
    assert result.removed["closing sections"] == len("See also\n* [[A]]\nReferences\nBooks\n* B")
    assert prose("文。\n== 参考文献 ==\n* 书").text == "文。"


@pytest.mark.parametrize(
    "broken",
    ["{{cite|a", "[[dog|b", "{|\n| cell", "<ref>x", "<!-- y", "}}", "]]", "<div class=a>", "'''", "{{{1|", "<math>"],
)
def test_broken_markup_never_swallows_the_rest(broken: str) -> None:
    text = prose(f"First {broken}\n\nSecond {{{{convert|5|km}}}} stays.\n== H ==\nThird stays.").text
    assert "Second 5 km stays." in text
    assert "Third stays." in text
    assert not any(trace in text for trace in ("{{", "}}", "[[", "]]"))


@pytest.mark.parametrize(
    "unit", ["{{", "[[a|", "{{a|", "{|\n", "{{{a|", "[http://a ", "{{a|[[b|<i>{|\n|", '{{a|<i x="{{b|" [[', "<ref>"]
)
def test_hostile_markup_ends(unit: str) -> None:
    prose(unit * 5_000)
    assert prose(unit * 500 + "\n== H ==\nThe end.").text.endswith("The end.")


@pytest.mark.parametrize(
    ("opening", "closing"), [("{{a|", "}}"), ("[[a|", "]]"), ("{{nowrap|", "}}"), ("{{nowrap|[[b|", "}}"), ("{{{1|", "}}}")]
)
def test_pairs_within_pairs_end(opening: str, closing: str) -> None:
    """However deep: what reads a pair calls itself, and each part is cut where it stands."""
    assert prose("First " + opening * 20_000 + closing * 20_000 + ".\n== H ==\nThe end.").text.endswith("H\n\nThe end.")
    assert prose("{{nowrap|" * 30 + "words" + "}}" * 30).text == "words"


def test_a_template_without_words_is_counted_once_with_all_in_it() -> None:
    box = "{{Infobox|a=[[File:b.png]]|c={{navbox|[[Category:d]]}}}}"
    assert prose(f"{box}Text").removed == {"templates": len(box)}


@pytest.mark.parametrize("start", ["", "(", "(a"])
@pytest.mark.parametrize("unit", ["{{x}}a", "{{x}}, ", ", ", " ", "or {{x}} ", ", pronounced {{x}}", "; or ", "<sup>", "&a"])
def test_what_is_left_is_tidied_in_linear_time(start: str, unit: str) -> None:
    """Passes that went over the rest of the line again from each hole took a minute for one of these."""
    prose(start + unit * (100_000 // len(unit)) + "{{x}}b")


def test_a_long_section_is_parsed_in_pieces() -> None:
    line = "A [[dog|hound]] ran {{convert|5|km}} {{lang|fr|[[b]]}}. "
    assert prose(line * 3000).text == prose(line).text + (" " + prose(line).text) * 2999


@pytest.mark.parametrize(
    "text", ["他说：“你好，世界！”（笑）１２３", "مرحبا بالعالم، كيف حالك؟", "สวัสดีชาวโลก", "👩‍👩‍👧 naïve 𝒳 می‌خواهم"]
)
def test_scripts_pass_untouched(text: str) -> None:
    assert prose(text).text == text


@given(st.text(alphabet="{}[]|'<>/=!-*#:; \nabé中refmath&", max_size=200))
def test_any_markup_gives_text_without_control_characters(markup: str) -> None:
    assert not any(ord(character) < 32 and character != "\n" for character in prose(markup).text)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("{|\n|-\n| a || b\n|-\n| c || d\n|}", "a | b\nc | d"),
        (
            '{| class="x"\n|+ Cap\n! scope="col" | Year !! Title\n|-\n| 1999 || style="x" | [[A|B]]\n|}',
            "Cap\nYear | Title\n1999 | B",
        ),
        ("{|\n|\n* one\n* two\n|| b\n|-\n| {{convert|5|km}}\n| &nbsp; || c<br>d\n|}", "one, two | b\n5 km | – | c, d"),
        (
            "{|\n! City !! People <br />(2010) !! County\n|-\n| A || – || 5\n|-\n| [[File:a.png]] || B ||\n|}",
            "City | People (2010) | County\nA | – | 5\nB",
        ),
        ("{|\n| a\n{|\n| inner || cell\n|}\n| b\n|}", "a\ninner | cell\nb"),
        ("{|\n| {{Foo\n| x = 1\n}} || b\n|}", "b"),
    ],
)
def test_tables_are_kept_as_rows(table: str, expected: str) -> None:
    result = prose(f"Before\n{table}\nAfter", Options(keep_tables=True))
    assert result.text == f"Before\n{expected}\nAfter"
    assert result.removed["tables"] == 0
    assert prose(f"Before\n{table}\nAfter").text == "Before\nAfter"


def test_infoboxes_are_kept_as_rows() -> None:
    box = "{{Infobox person\n| name = [[Ada]]\n| image = A.jpg\n| birth_date = {{birth date|1815|12|10}}\n"
    box += "| known_for = * [[A]]\n* B\n| url =\n}}"
    kept = prose(f"{box}\n'''Ada''' was.", Options(keep_infoboxes=True))
    assert kept.text == "name: Ada\nbirth date: December 10, 1815\nknown for: A, B\n\nAda was."
    assert prose(f"{box}\n'''Ada''' was.").text == "Ada was."
