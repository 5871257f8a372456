"""The inline templates of the Chinese Wikipedia, and what the shared ones say in Chinese: `5公里`, `英语：Apple`."""

from . import countries
from .arguments import Words
from .marks import COMPUTED, HOLE
from .units import group_digits

_LANGUAGES = dict(
    pair.split("=")
    for pair in (  # noqa: SIM905
        "af=南非语 ar=阿拉伯语 az=阿塞拜疆语 be=白俄罗斯语 bg=保加利亚语 bn=孟加拉语 bo=藏语 ca=加泰罗尼亚语 "
        "cs=捷克语 cy=威尔士语 da=丹麦语 de=德语 el=希腊语 grc=古希腊语 en=英语 eo=世界语 es=西班牙语 et=爱沙尼亚语 "
        "eu=巴斯克语 fa=波斯语 fi=芬兰语 fr=法语 ga=爱尔兰语 he=希伯来语 hi=印地语 hr=克罗地亚语 hu=匈牙利语 "
        "hy=亚美尼亚语 id=印尼语 is=冰岛语 it=意大利语 ja=日语 ka=格鲁吉亚语 kk=哈萨克语 km=高棉语 ko=朝鲜语 "
        "la=拉丁语 lo=老挝语 lt=立陶宛语 lv=拉脱维亚语 mk=马其顿语 mn=蒙古语 ms=马来语 my=缅甸语 ne=尼泊尔语 "
        "nl=荷兰语 no=挪威语 pl=波兰语 pt=葡萄牙语 ro=罗马尼亚语 ru=俄语 sa=梵语 sk=斯洛伐克语 sl=斯洛文尼亚语 "
        "sq=阿尔巴尼亚语 sr=塞尔维亚语 sv=瑞典语 ta=泰米尔语 th=泰语 tr=土耳其语 ug=维吾尔语 uk=乌克兰语 ur=乌尔都语 "
        "uz=乌兹别克语 vi=越南语 yi=意第绪语 yue=粤语 zh=中文"
    ).split()
)
_UNITS = {
    "km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "mi": "英里", "mile": "英里", "ft": "英尺", "foot": "英尺",
    "in": "英寸", "yd": "码", "nmi": "海里", "km2": "平方公里", "m2": "平方米", "sqmi": "平方英里", "sqft": "平方英尺",
    "acre": "英亩", "ha": "公顷", "kg": "公斤", "g": "克", "t": "吨", "lb": "磅", "oz": "盎司", "l": "升", "ml": "毫升",
    "km/h": "公里每小时", "mph": "英里每小时", "c": "℃", "f": "℉", "m3": "立方米", "kw": "千瓦", "mw": "兆瓦",
    "hp": "马力",
}  # fmt: skip
_RANGES = ("to", "-", "–", "and", "到", "至")


def language(code: str, values: list[str], named: dict[str, str]) -> str:
    """`英语：Apple`; without the language's name where it isn't known."""
    name = _LANGUAGES.get(code) or _LANGUAGES.get(code.partition("-")[0])
    text = "，".join(value for value in values[:2] if value)
    return f"{name}：{text}" if name and text else text


def _measure(values: list[str], named: dict[str, str]) -> str:
    """The given value of `{{convert}}`: `5公里`, `5至10公里`."""
    numbers, rest = [group_digits(value) for value in values[:1]], values[1:]
    while len(rest) > 1 and rest[0] in _RANGES:
        numbers.append(group_digits(rest[1]))
        rest = rest[2:]
    unit = rest[0] if rest else ""
    return "至".join(numbers) + _UNITS.get(unit.lower(), unit)


def _date(values: list[str], named: dict[str, str]) -> str:
    """`1809|2|12` as `1809年2月12日`."""
    parts = [value for value in values[:3] if value]
    if not parts or not all(part.isdecimal() for part in parts):
        return values[0] if values else ""
    return "".join(f"{int(part)}{unit}" for part, unit in zip(parts, "年月日"))


def _as_of(values: list[str], named: dict[str, str]) -> str:
    return named.get("alt") or f"截至{_date(values, named)}"


def _life(values: list[str], named: dict[str, str]) -> str:
    """`{{bd|1879年|3月14日|1955年|4月18日}}`: birth and death; the page has brackets around it. The living have no dash."""
    born, died = ("".join(values[start : start + 2]) for start in (0, 2))
    return f"{born}－{died}" if died else born


def _foreign_link(values: list[str], named: dict[str, str]) -> str:
    """`{{link-en|名称|Name|显示}}`: an article that another Wikipedia has."""
    return (values[2] if len(values) > 2 else "") or (values[0] if values else "")


def _translated_link(values: list[str], named: dict[str, str]) -> str:
    """`{{tsl|en|Name|名称|显示}}`: the same with the language first."""
    return next((value for value in (*reversed(values[2:4]), *values[1:2]) if value), "")


def _japanese(values: list[str], named: dict[str, str]) -> str:
    """`{{nihongo|名称|名前|namae}}`: `名称（名前，namae）`."""
    first, *others = [*values, ""]
    original = "，".join(value for value in others[:2] if value)
    return f"{first}（{original}）" if first and original else first or original


def _japanese_term(values: list[str], named: dict[str, str]) -> str:
    """`{{jpn|j=東京都|hg=とうきょうと|rm=Tōkyō-to}}`: `日语：東京都，とうきょうと，Tōkyō-to`."""
    shown = "，".join(value for value in (named.get(key) for key in ("j", "kj", "hg", "kk", "hgkk", "rm")) if value)
    return f"日语：{shown}" if shown else HOLE


def _around_year(values: list[str], named: dict[str, str]) -> str:
    return "－".join(f"约{value}" for value in values[:2] if value)


def _country(values: list[str], named: dict[str, str]) -> str:
    return countries.named(values[0] if values else "", chinese=True)


def _given(values: list[str], named: dict[str, str]) -> str:
    return values[0] if values else ""


_FOREIGN_WIKIS = (  # noqa: SIM905
    "en ja de fr ko ru es it pt nl la vi th id ms pl sv uk tr cs hu fi no da ar fa he el ro bg sr hr ca simple"
).split()

WORDS: dict[str, Words] = {
    **dict.fromkeys(("convert", "cvt"), _measure),
    **dict.fromkeys(
        ("birth date", "death date", "birth date and age", "death date and age", "start date", "end date", "film date",
         "release date", "dts", "birth-date", "bda", "生年月日", "生年月日和年齡", "生年月日和年龄", "逝世年月日", "死亡日期"),
        _date,
    ),
    **dict.fromkeys(("as of", "asof"), _as_of),
    **dict.fromkeys(("bd", "生卒", "生卒年"), _life),
    **dict.fromkeys(("le", "lj", "lk", "link-wikidata", "illm", *(f"link-{code}" for code in _FOREIGN_WIKIS)), _foreign_link),
    **dict.fromkeys(("tsl", "translink", "internal link helper", "多語言連結"), _translated_link),
    **dict.fromkeys(("nihongo", "nihongo2", "nihongo3", "日本語"), _japanese),
    **dict.fromkeys(("jpn", "日語", "日语"), _japanese_term),
    **dict.fromkeys(("flag", "flagu", "flagcountry", "flagioc", "fb"), _country),
    **dict.fromkeys(("circa", "c.", "ca."), _around_year),
    **dict.fromkeys(("zy", "jyutping", "僻字", "kai", "楷体", "楷體", "标楷体", "標楷體", "拼音", "注音", "粵拼",
                     "日本漢字", "小"), _given),
    **dict.fromkeys(("年齡", "年龄"), lambda values, named: COMPUTED),
}  # fmt: skip
