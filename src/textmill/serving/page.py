"""The page: its files, and Markdown made into safe html for it.

The page is a client of this server's API like any other. What a model wrote becomes html only here: raw html is off, and
what Markdown makes passes through an allow-list. The Content-Security-Policy forbids every script but the page's own.
"""

import json
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from .errors import ApiError

FOLDER = Path(__file__).parent / "page"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}
# Nothing else is served, whatever lies in the folder.
FILES = (
    "page.css", "theme.css", "page.js", "answers.js", "api.js", "conversation.js", "figures.js", "formatted.js", "language.js",
    "message_view.js", "meter.js", "settings.js", "sidebar.js", "store.js", "token_view.js", "en.json", "zh.json",
)  # fmt: skip
PATHS = {"/", *(f"/page/{name}" for name in FILES)}  # what anyone may read: nothing in them is secret
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
MARKDOWN_BYTES = 100_000  # of one text's JSON: the hardest Markdown takes time that grows with its square, here some 2 s
HIGHLIGHTED_CHARACTERS = 20_000  # of one block of code: a longer one is shown uncoloured

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "span": {"class"}}
URL_SCHEMES = {"http", "https", "mailto"}

router = APIRouter()


@router.get("/", include_in_schema=False)
def index() -> Response:
    """The page itself."""
    return file_response("index.html")


@router.get("/page/{name}", include_in_schema=False)
def page_file(name: str) -> Response:
    """One of the page's files; 404 for any other name."""
    if name not in FILES:
        raise ApiError(404, f"the page has no file {name!r:.100}", code="not_found")
    return file_response(name)


@router.post("/page/markdown", include_in_schema=False)
async def markdown(request: Request) -> Response:
    """`{"text": Markdown}` to `{"html": safe html}`. 400: not such JSON; 413: more than `MARKDOWN_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MARKDOWN_BYTES:
            raise ApiError(413, f"the text takes more than {MARKDOWN_BYTES:,} bytes as JSON", "text", "body_too_large")
    try:
        text = json.loads(body)["text"]
        text.encode()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ApiError(400, 'the body must be JSON like {"text": "some *Markdown*"}', "text", "invalid_value") from error
    return JSONResponse({"html": await run_in_threadpool(safe_html, text)}, headers=HEADERS)


def safe_html(text: str) -> str:
    """Markdown (CommonMark, tables, strikethrough) as html that holds no script, style, image or frame, and links by http(s)
    or mailto alone. Code is marked with Pygments' classes where its language is named and known."""
    import nh3
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False, "highlight": highlighted}).enable(["table", "strikethrough"])
    return nh3.clean(
        renderer.disable("image").render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=URL_SCHEMES,
        attribute_filter=kept_attribute,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def kept_attribute(_: str, attribute: str, value: str) -> str | None:
    """The attribute's value; None for a link without a scheme: a model's link never leads to this server."""
    return None if attribute == "href" and value.partition(":")[0].lower() not in URL_SCHEMES else value


def highlighted(code: str, language: str, _: str) -> str:
    """Code as html with Pygments' classes; "" where it can't be highlighted: then it is escaped as it stands."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not language or len(code) > HIGHLIGHTED_CHARACTERS:
        return ""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


def file_response(name: str) -> Response:
    return FileResponse(FOLDER / name, media_type=CONTENT_TYPES[Path(name).suffix], headers=HEADERS)
