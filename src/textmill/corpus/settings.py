"""The `[corpus]` section of a recipe: where the text comes from, how it is read, what is held back for validation."""

import codecs
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..settings import Settings


class CorpusSettings(Settings):
    """Text in: the sources and how to read them."""

    source: str | list[str]
    """Files, folders (read with everything below them), or a sample such as `sample:wikipedia`, `sample:chinese-poetry`
    and `sample:standard-library` (`textmill sample` lists them). Files end in .txt, .md, .jsonl or .xml (a MediaWiki
    dump), as they are or compressed (.gz, .bz2, .zst)."""

    format: Literal["auto", "txt", "md", "jsonl", "mediawiki"] = "auto"
    """How the files are read. `auto` goes by each file's ending; any other value holds for all files, whatever they
    are called."""

    text_field: str = "text"
    """The field of a .jsonl line that holds the text. Every line must have it."""

    title_field: str = "title"
    """The field of a .jsonl line that holds the title. A line without it has no title."""

    id_field: str = "id"
    """The field of a .jsonl line that holds the document's name. A line without it is called by its file and number."""

    encoding: str | list[str] = "utf-8"
    """How bytes become characters in .txt, .md and .jsonl files, by Python's name for it, such as `gb18030`. Of several,
    such as ["utf-8", "gb18030"], each file is read by the first that fits all of it. A byte order mark goes before, and
    XML says itself how it is encoded. A .txt or .md file of a folder that none fits is dropped and counted."""

    tables: Literal["drop", "keep"] = "drop"
    """What becomes of the tables of a wiki page: `keep` writes each row as a line, `Year | Title | Role`. Prose models
    learn little from them."""

    infoboxes: Literal["drop", "keep"] = "drop"
    """What becomes of the box of facts at a wiki page's edge: `keep` writes each field as a line, `birth place: Ulm`."""

    chinese_script: Literal["keep", "simplified", "traditional"] = "keep"
    """The script of Chinese text: as it is written, or all of it converted by OpenCC, phrase by phrase; traditional as
    Taiwan writes it. Meant for Chinese corpora: documents marked as Japanese or Korean, lines with much kana, and runs of
    kana and characters within a Chinese line stay, but a Japanese or Korean passage of Chinese characters alone can't be
    told apart and is harmed. Titles stay as they are. Where a wiki page gives a word in both, the wanted script's own word
    is taken, else the simplified one."""

    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """The share of documents held back for validation: above 0, below 1. A hash of the title decides, so a document
    stays on its side when others are added. A tenth is enough for a few hundred documents; of millions, hold back
    less."""

    minimum_characters: int = Field(50, ge=1)
    """Documents with fewer characters after cleaning are dropped and counted: 1 or more. Shorter ones are mostly
    headings and remains of markup; set 1 where each line is a document of its own."""

    quality_reference: str | None = None
    """Clean text to compare with, a file, a folder or a sample: an n-gram learns from its first 20 MB how such text is
    written, and every document is measured, in bits per byte under that n-gram. The corpus's card gets the deciles, to choose
    quality_bits by. Default: nothing is measured."""

    quality_bits: float | None = Field(None, gt=0)
    """Documents that cost more bits per byte under the n-gram of quality_reference are dropped and counted: above 0. After a
    few megabytes of reference, text of its kind costs 2 to 3 bits, other prose of its language 3 to 4, lists, code and other
    languages 4 to 6, noise 7 and more; a document that is itself in the reference costs less. Default: none is dropped."""

    @field_validator("source")
    @classmethod
    def _at_least_one(cls, source: str | list[str]) -> str | list[str]:
        if not source or (isinstance(source, list) and not all(source)):
            raise ValueError("name at least one file, folder or sample, such as 'sample:wikipedia'")
        return source

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | list[str]) -> str | list[str]:
        names = [encoding] if isinstance(encoding, str) else encoding
        if not names:
            raise ValueError("name at least one encoding; the usual one is 'utf-8'")
        for name in names:
            try:
                "".encode(name)
                codecs.getincrementaldecoder(name)
            except LookupError as error:
                raise ValueError(f"no text encoding {name!r} is known to Python; the usual one is 'utf-8'") from error
        return encoding

    @model_validator(mode="after")
    def _something_to_compare_with(self) -> "CorpusSettings":
        if self.quality_bits is not None and self.quality_reference is None:
            raise ValueError(
                "quality_bits needs corpus.quality_reference, clean text such as 'sample:wikipedia', to compare with"
            )
        return self

    def quality_settings(self) -> "CorpusSettings | None":
        """How the quality reference is read: as the corpus is, but by its own ending; None where there is none."""
        if self.quality_reference is None:
            return None
        own = {"source": self.quality_reference, "format": "auto", "quality_reference": None, "quality_bits": None}
        return self.model_copy(update=own)

    def sources(self) -> list[str]:
        """The sources as a list, one or many."""
        return [self.source] if isinstance(self.source, str) else list(self.source)

    def encodings(self) -> list[str]:
        """The encodings as a list, one or many."""
        return [self.encoding] if isinstance(self.encoding, str) else list(self.encoding)
