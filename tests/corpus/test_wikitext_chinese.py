"""The markup of the Chinese Wikipedia: conversion rules as MediaWiki's, templates that speak Chinese."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.corpus.wikitext import Options, prose
from textmill.corpus.wikitext.variants import choose_variants

SIMPLIFIED = Options(language="zh")
TRADITIONAL = Options(language="zh", variant="zh-hant")


@pytest.mark.parametrize(
    ("markup", "simplified", "traditional"),
    [
        ("-{zh-hans:计算机;zh-hant:電腦}-", "计算机", "電腦"),
        ("-{zh-cn:信息; zh-tw:資訊; zh-hk:資訊;}-论", "信息论", "資訊论"),
        ("-{zh-hk:的士;zh-tw:計程車;zh-sg:德士}-", "德士", "計程車"),
        ("-{zh-mo:巴士}-站", "巴士站", "巴士站"),
        ("-{zh:中文;zh-sg:华文}-", "华文", "中文"),
        ("-{乾隆}-皇帝，-{}-，-{ 于 }-", "乾隆皇帝，， 于", "乾隆皇帝，， 于"),
        ("-{A|zh-cn:博客;zh-tw:部落格}-很多", "博客很多", "部落格很多"),
        ("-{H|zh-cn:博客;zh-tw:部落格}-很多", "很多", "很多"),
        ("-{T|zh-cn:博客;zh-tw:部落格}-很多-{-|zh-cn:a;zh-tw:b}-", "很多", "很多"),
        ("-{R|zh-cn:a}-与-{zh-tw;zh-hk|香港}-", "zh-cn:a与香港", "zh-cn:a与香港"),
        ("-{D|zh-cn:a;zh-tw:b}-", "大陆：a；臺灣：b", "大陆：a；臺灣：b"),
        ("-{N|zh-tw}-", "臺灣", "臺灣"),
        ("-{软件=>zh-tw:軟體}-", "軟體", "軟體"),
        ("-{巨集=>zh-cn:宏;zh-tw:巨集}-", "宏", "巨集"),
        ("-{zh-hans:甲-{zh-cn:乙;zh-tw:丙}-;zh-hant:丁}-", "甲乙", "丁"),
        ("-{zh-hans:a&nbsp;b;zh-hant:c}-", "a b", "c"),
        ("-{[[巴黎]]}-和[[纽约|-{zh-hans:纽约;zh-hant:紐約}-]]", "巴黎和纽约", "巴黎和紐約"),
        ("-{zh-hans:[[甲|乙]];zh-hant:[[丙]]}-", "乙", "丙"),
        ("{{lang|en|-{zh-hans:a;zh-hant:b}-}}", "a", "b"),
        ("-{zh-hans:{{lang|en|a}};zh-hant:b}-", "a", "b"),
        ("<nowiki>-{zh-hans:a;zh-hant:b}-</nowiki>", "-{zh-hans:a;zh-hant:b}-", "-{zh-hans:a;zh-hant:b}-"),
        ("-{zh-hans:没有结束", "-{zh-hans:没有结束", "-{zh-hans:没有结束"),
    ],
)
def test_conversion_rules(markup: str, simplified: str, traditional: str) -> None:
    assert prose(markup, SIMPLIFIED).text == simplified
    assert prose(markup, TRADITIONAL).text == traditional


def test_elsewhere_it_is_text() -> None:
    assert prose("x -{a}- y", Options(language="en")).text == "x -{a}- y"
    assert prose("-{sr-ec:Београд; sr-el:Beograd}-", Options(language="sr")).text == "Београд"


@given(st.text(alphabet="-{}|;:=>zhcntwAHT a", max_size=80))
def test_any_rule_ends(text: str) -> None:
    assert "-{" not in choose_variants(text.replace("{", ""), "zh-hans")
    choose_variants(text, "zh-hant")


@pytest.mark.parametrize("unit", ["-{", "}-", "-{zh:a;", "-{a-{", "-{A|", "zh-cn:a=>"])
def test_hostile_rules_end(unit: str) -> None:
    prose(unit * 20_000, SIMPLIFIED)


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("{{NoteTA\n|G1=IT\n|1=zh-hans:打印机;zh-hant:印表機\n}}\n'''文章'''", "文章"),
        ("'''爱因斯坦'''（{{lang-de|Albert Einstein}}，{{IPA|/x/}}）是", "爱因斯坦（德语：Albert Einstein）是"),
        ("'''牛顿'''（{{bd|1643年|1月4日|1727年|3月31日|catIdx=N}}），", "牛顿（1643年1月4日－1727年3月31日），"),
        ("'''甲'''（{{lang-en|A}}；{{bd|1979年|1月18日||}}）", "甲（英语：A；1979年1月18日）"),
        ("（{{jpn|j=東京都|hg=とうきょうと|rm=Tōkyō-to}}）是", "（日语：東京都，とうきょうと，Tōkyō-to）是"),
        ("（{{circa|1715年}}－1763年）", "（约1715年－1763年）"),
        ("北京位于{{coord|39|54|20|N|116|23|29|E|display=inline,title}}，", "北京位于39°54′20″N 116°23′29″E，"),
        ("（{{lang-de|A}}，{{IPA-de|a}}；{{bd|1879年|3月14日|1955年|4月18日}}）", "（德语：A，1879年3月14日－1955年4月18日）"),
        ("{{flagIOC|CHN|2020年夏季}}和{{flag|Germany}}、{{flag|甲国}}", "中国和德国、甲国"),
        ("* {{flagicon|HKG}}：[[無綫電視]]\n* {{USA}}：[[福斯]]", "- 無綫電視\n- 美国：福斯"),
        ("{{link-en|米尔|Mir}}、{{le|甲|A|乙}}和{{tsl|en|Foo|丙|丁}}", "米尔、乙和丁"),
        ("长{{convert|5|km|mi}}，宽{{convert|2|to|3|m}}", "长5公里，宽2至3米"),
        ("{{as of|2014|5}}有{{formatnum:12345}}人", "截至2014年5月有12,345人"),
        ("{{birth date|1809|2|12}}", "1809年2月12日"),
        ("{{nihongo|龙猫|となりのトトロ|Tonari no Totoro}}", "龙猫（となりのトトロ，Tonari no Totoro）"),
        ("{{lang|ja|東京}}，{{僻字|𬭊|金杜}}", "東京，𬭊"),
        ("事实{{fact|time=2014}}。<ref>书</ref>又一句{{R|甲}}。", "事实。又一句。"),
        ("正文\n== 参见 ==\n* [[甲]]\n== 註釋 ==\n{{notelist}}\n== 外部連結 ==\n* [http://a b]", "正文"),
        ("[[文件:A.jpg|thumb|说明]]文[[分类:甲]][[Category:乙]]", "文"),
    ],
)
def test_templates_speak_chinese(markup: str, expected: str) -> None:
    assert prose(markup, SIMPLIFIED).text == expected
