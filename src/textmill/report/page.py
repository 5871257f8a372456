"""report.html: a run folder as one page that needs nothing but itself."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .. import __version__
from ..errors import RunError, nearest
from ..files import write_text
from .facts import Facts, read_facts
from .figures import figures, standalone_curve
from .phrases import FORMATS, LANGUAGES, TAGS, phrase, phrase_or, shown, usual_language
from .story import story

FILE = "report.html"


def write_report(folder: str | Path, language: str | None = None) -> Path:
    """Write the report of a run folder into it, finished or not, and return its path.

    `language` is what the page shows first; None takes the environment's. Raises RunError where `folder` isn't a run.
    """
    language = chosen_language(language)
    path = Path(folder) / FILE
    try:
        page = render_page(read_facts(folder), language)
    except (KeyError, TypeError, jinja2.UndefinedError) as error:
        raise RunError(f"{folder} isn't what this version of textmill writes ({error}); run its recipe again") from error
    write_text(path, page)
    return path


def chosen_language(language: str | None) -> str:
    """The language that a page shows first; None takes the environment's. Raises RunError where there is none such."""
    if language is not None and language not in LANGUAGES:
        hint = nearest(language, LANGUAGES)
        raise RunError(f"the report has no language {language!r}{hint}; write one of {', '.join(LANGUAGES)}")
    return language or usual_language()


def write_picture(folder: str | Path, target: Path) -> Path:
    """Write a run's learning curve as an SVG file of its own. Raises RunError where the run has none."""
    facts = read_facts(folder)
    if facts.curve is None:
        raise RunError(f"{folder} holds no training, so there is no curve to draw; run its recipe first")
    write_text(target, standalone_curve(facts))
    return target


def render_page(facts: Facts, language: str = "en") -> str:
    """The page's HTML. The same facts give the same bytes."""
    template = page_environment().get_template("page.html")
    shown = {"facts": facts, "story": story(facts), "figures": figures(facts), "title": facts.name}
    return template.render(**shown, language=language, **page_parts())


def page_environment() -> jinja2.Environment:
    """Where the pages' templates are, and what they can write with."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals.update(t=phrase, t_or=phrase_or, languages=LANGUAGES, tags=TAGS, **FORMATS)
    return environment


def page_parts() -> dict[str, Any]:
    """What every page has: its style and script, the hash that lets this script alone run, and the version."""
    style, script = (_resource(name) for name in ("style.css", "copy.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": Markup(style), "script": Markup(script), "script_hash": digest, "version": __version__}


def _finalize(value: Any) -> Any:
    """Whatever a run folder holds is shown so that it can't disguise itself; Jinja's own escaping follows."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _resource(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")
