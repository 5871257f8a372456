"""What the converter has to know of a wiki and of what is wanted from it."""

from dataclasses import dataclass

HIDDEN_NAMESPACES = frozenset(
    (  # noqa: SIM905
        "file|image|media|category|文件|檔案|档案|图像|圖像|分类|分類|bild|datei|kategorie|fichier|catégorie|archivo|imagen|"
        "categoría|immagine|categoria|ficheiro|imagem|bestand|afbeelding|plik|grafika|файл|изображение|категория|"
        "ファイル|画像|파일|그림|fil|fișier|imagine|obrázek|soubor|kuva|kép|fájl|dosya|resim|зображення|slika"
    ).split("|")
)
"""Links into these namespaces show nothing in the prose. A dump says its own names for them, but not the older ones that
its pages still use, such as the German `Bild`; and an excerpt may say none at all."""


@dataclass(frozen=True)
class Options:
    """How a page is turned into prose.

    `hidden_namespaces` are lower-case names; `language` is the wiki's, empty where it isn't known; `variant` is the one
    that is shown where a page gives several, such as `zh-hans`.
    """

    hidden_namespaces: frozenset[str] = HIDDEN_NAMESPACES
    language: str = ""
    variant: str = "zh-hans"
    keep_tables: bool = False
    keep_infoboxes: bool = False

    @property
    def chinese(self) -> bool:
        """Whether the page is written in Chinese."""
        return self.language.partition("-")[0] in ("zh", "gan", "wuu", "yue", "hak", "cdo", "nan", "lzh")
