"""Infoboxes as plain rows, a line a field: `birth place: Ulm, Germany`."""

import re

_INFOBOX = re.compile(r"infobox|taxobox|speciesbox|chembox|drugbox|信息框|資訊框|讯息框|訊息框|资料框", re.IGNORECASE)
_LAYOUT = re.compile(
    r"\d+|.*(?:image|size|width|caption|\balt\b|logo|\bflag\b|\bmap|coat of arms|colou?r|style|footnote|\burl\b|website|coord|"
    r"pushpin|label|embed|module|child|signature|\blat|\blon|\bref\b|\bnote|图像|圖像|图片|圖片|"
    r"官网|網站|网站|颜色|顏色|坐标|座標|omim|mesh|medline|emedicine|diseasesdb|genereviews|glotto|\biso\d|\bicd)s?.*",
    re.IGNORECASE,
)


def is_infobox(name: str) -> bool:
    """Whether the template called `name` is the box of facts at a page's edge."""
    return _INFOBOX.search(name) is not None


def rows(values: list[str], named: dict[str, str]) -> str:
    """A line for each field that has words, without pictures and layout; a list within a field on one line."""
    shown = []
    for key, value in named.items():
        key = re.sub(r"[\s_]+", " ", key).strip()
        parts = [re.sub(r"^[*#:;\s]+", "", line).strip() for line in value.split("\n")]
        text = ", ".join(part for part in parts if any(character.isalnum() for character in part))
        if text and key and not _LAYOUT.fullmatch(key):
            shown.append(f"{key}: {text}")
    return "\n" + "\n".join(shown) + "\n\n" if shown else ""
