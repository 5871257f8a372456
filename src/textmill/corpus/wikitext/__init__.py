"""Wikitext in, prose that a person would accept out.

The passes follow MediaWiki's own order: what isn't wikitext at all is set aside (`extensions`), the page is cut into
sections, each section's templates and links become their words (`page`, `templates`), and the traces of what had no
words are smoothed away (`tidy`).
"""

from .options import HIDDEN_NAMESPACES, Options
from .page import Prose, prose

__all__ = ["HIDDEN_NAMESPACES", "Options", "Prose", "prose"]
