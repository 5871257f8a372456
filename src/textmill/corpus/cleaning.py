"""All that is done to one document alone: reading it and every step. Any process can do it, in any order."""

from dataclasses import dataclass, field

from .document import Document, Drop, Found
from .quality import QUALITY, QualityMeasure, judge_quality
from .settings import CorpusSettings
from .steps import cleaning_steps


@dataclass(frozen=True)
class Cleaned:
    """A document as it came out, or the reason why it didn't; and what each step took away, in characters."""

    record: Document | Drop
    changed: dict[str, int] = field(default_factory=dict)


class Cleaner:
    """Takes documents through reading and all steps. It remembers nothing from one to the next."""

    def __init__(self, settings: CorpusSettings, measure: QualityMeasure | None = None):
        self.settings = settings
        self.steps = cleaning_steps(settings)
        if measure is not None:
            self.steps[QUALITY] = judge_quality(measure, settings.quality_bits)

    def __call__(self, found: list[Found]) -> list[Cleaned]:
        """What becomes of each, in the same order."""
        return [self._clean(one) for one in found]

    def _clean(self, found: Found) -> Cleaned:
        if isinstance(found, Drop):
            return Cleaned(found)
        try:
            return self._take_through(found if isinstance(found, Document) else found.read(self.settings))
        except Exception as error:
            error.add_note(f"The document was {name_of_document(found)}.")
            raise

    def _take_through(self, document: Document | Drop) -> Cleaned:
        changed: dict[str, int] = {}
        for name, step in self.steps.items():
            if isinstance(document, Drop):
                break
            result = step(document)
            if isinstance(result, Document) and result.text is not document.text:
                changed[name] = len(document.text) - len(result.text)
            document = result
        return Cleaned(document, changed)


def name_of_document(found: Found) -> str:
    """How a person finds it again: `'Aristotle' (12 in enwiki.xml.bz2)`."""
    return f"{found.title!r} ({found.id} in {found.source})" if found.title else f"{found.id} in {found.source}"
