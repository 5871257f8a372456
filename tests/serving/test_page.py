"""The page in a real browser, over HTTP: what people do with it, and what a hostile model can't do to it.

The API it talks to is the real one in the last tests, and else a stand-in, since no real model is hostile on demand.
"""

import asyncio
import json
import re
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

import textmill.serving.page
from textmill.serving import errors
from textmill.serving.page import FILES, FOLDER, MARKDOWN_BYTES, router, safe_html

OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
WIDE, PHONE = {"width": 1200, "height": 850}, {"width": 390, "height": 844}
HOSTILE = (
    "**bold** <script>alert(1)</script>\n\n<img src=x onerror=alert(2)>\n\n[a](javascript:alert(3)) ![i](http://127.0.0.1:9/x.png)\n\n"
    "<iframe src=//example.org></iframe>\n\n```python\nreturn '</code><script>alert(4)</script>'\n```\n"
)
SLOW = "slow"  # a question whose answer takes for ever


def scripted_api() -> FastAPI:
    """An API with one model that answers hostilely, or for ever, and one without a chat template."""
    app = FastAPI()
    errors.install(app)
    app.include_router(router)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        figures = {"context_length": 500, "bytes_per_token": 270_000_000, "memory_bytes_per_second": 12_600_000_000.0}
        talker = {"id": "talker", "serves": ["/v1/chat/completions", "/v1/completions"], **figures}
        others = [{"id": "encoder", "serves": ["/v1/embeddings"]}, {"id": "writer", "serves": ["/v1/completions"]}]
        return {"object": "list", "data": [talker, *others]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        if body["model"] == "writer":
            error = {
                "message": "no chat template",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "no_chat_template",
            }
            return JSONResponse({"error": error}, 400)
        question = body["messages"][-1]["content"]

        async def chunks() -> AsyncIterator[str]:
            # The answer's bytes, four a token, so that Chinese characters lie across tokens' borders.
            data = f"{HOSTILE}你好，{question}".encode()
            for start in range(0, len(data), 4):
                piece = list(data[start : start + 4])
                top = [{"token": "<b>rival</b>", "logprob": -0.5}, {"token": "?", "logprob": -1.2}]
                logprobs = {"content": [{"token": "?", "bytes": piece, "logprob": -1.2, "top_logprobs": top}]}
                text = data[: start + 4].decode(errors="ignore")[len(data[:start].decode(errors="ignore")) :]
                yield event({"choices": [{"delta": {"content": text}, "logprobs": logprobs, "finish_reason": None}]})
            while question == SLOW:
                await asyncio.sleep(0.05)
                yield event({"choices": [{"delta": {"content": "…"}, "logprobs": None, "finish_reason": None}]})
            yield event({"choices": [{"delta": {}, "logprobs": None, "finish_reason": "stop"}]})
            yield event({"choices": [], "usage": {"completion_tokens": 99, "total_tokens": 125}})
            yield "data: [DONE]\n\n"

        return StreamingResponse(chunks(), media_type="text/event-stream")

    @app.post("/v1/completions")
    async def completion(request: Request) -> Response:
        body = await request.json()
        # The prompt comes back, so that the test sees what a model without a chat template is given.
        tokens = [" [", body["prompt"], "]"]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [-1.0] * 3,
            "top_logprobs": [{token: -1.0, " rival": -2.0} for token in tokens],
        }
        text = event({"choices": [{"text": "".join(tokens), "logprobs": logprobs, "finish_reason": "length"}]})
        return Response(f"{text}data: [DONE]\n\n", media_type="text/event-stream")

    return app


def event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(scripted_api(), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(require: Callable[[str], None]) -> Iterator[Any]:
    require("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, scripted: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; whatever it complains of, or asks of another server, fails the test."""
    contexts, complaints = [], list[str]()

    def visit(address: str = scripted, **context: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": WIDE, "locale": "en-GB", **context}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request", lambda request: None if request.url.startswith((address, "data:")) else complaints.append(request.url)
        )
        page.goto(address)
        page.locator("#send:enabled").wait_for()
        return page

    yield visit
    for context in contexts:
        context.close()
    # A model without a chat template is told by a 400, a missing key by a 401, and the browser notes both.
    assert [text for text in complaints if "400 (Bad Request)" not in text and "401 (Unauthorized)" not in text] == []


def ask(page: Any, text: str) -> None:
    page.fill("#message", text)
    page.press("#message", "Enter")


def answered(page: Any, question: str) -> Any:
    ask(page, question)
    page.locator("#send:visible").wait_for()
    return page.locator("article.assistant").last


def fetch(url: str, body: bytes | None = None) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize("path", ["", *(f"page/{name}" for name in FILES)])
def test_every_file_forbids_foreign_scripts(scripted: str, path: str) -> None:
    status, headers, body = fetch(f"{scripted}/{path}")
    assert status == 200 and body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_all_files_of_the_folder_are_served_and_no_others(scripted: str) -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, "index.html"}
    for path in ["page/page.py", "page/..%2Fpage.py", "page/%2e%2e/page.py", f"page/{Path(textmill.serving.page.__file__)}"]:
        assert fetch(f"{scripted}/{path}")[0] == 404


def test_both_languages_have_the_same_words_with_the_same_values() -> None:
    english, chinese = (json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "zh"))
    assert english.keys() == chinese.keys()
    assert all(english[word].count("{") == chinese[word].count("{") for word in english)


def test_markdown_keeps_its_marks_and_code_its_colours() -> None:
    html = safe_html("# A\n**b** `c` ~~d~~\n\n|x|\n|-|\n|y|\n\n[z](https://example.org)\n\n```python\nreturn 1\n```")
    for piece in [
        "<h1>",
        "<strong>b</strong>",
        "<code>c</code>",
        "<s>d</s>",
        "<td>y</td>",
        'href="https://example.org"',
        'class="k"',
    ]:
        assert piece in html
    assert 'rel="noopener noreferrer nofollow"' in html


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE, "<svg onload=alert(1)>", "[a](JaVaScRiPt:alert(1))", "[a](data:text/html,x)", "<javascript:alert(1)>",
        "[a](vbscript:x)", '[a](https://x "onclick=alert(1)")', "```html\n<script>alert(1)</script>\n```",
        '```"><script>\nx\n```', "![a](x)", "&lt;script&gt;", "[a](/v1/models)", "[a](//example.org)",
    ],
)  # fmt: skip
def test_hostile_markdown_becomes_harmless(text: str) -> None:
    class Strict(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "img", "iframe", "svg", "style"}
            for name, value in attributes:
                assert name in {"href", "title", "class", "rel", "target"}
                assert name != "href" or (value or "").startswith(("https:", "http:"))

    Strict().feed(safe_html(text))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"text": 3}', b'"text"', b"{", b'{"text": "\\ud800"}', b"[" * 50_000])
def test_what_is_no_text_is_refused_in_words(scripted: str, body: bytes) -> None:
    status, _, answer = fetch(f"{scripted}/page/markdown", body)
    assert status == 400
    assert json.loads(answer)["error"].keys() == {"message", "type", "param", "code"}


def test_a_text_that_is_too_long_is_refused(scripted: str) -> None:
    assert fetch(f"{scripted}/page/markdown", json.dumps({"text": "a" * MARKDOWN_BYTES}).encode())[0] == 413


def test_a_hostile_answer_is_only_shown(visit: Callable[..., Any]) -> None:
    page = visit()
    answer = answered(page, "<img src=x onerror=alert(5)>")
    answer.locator("strong", has_text="bold").wait_for()
    assert "<script>alert(1)</script>" in answer.inner_text() and "你好" in answer.inner_text()
    assert "99 tokens" in answer.inner_text()
    page.click("#probabilities")
    answer = page.locator("article.assistant")
    assert "你好" in answer.inner_text()
    answer.locator(".token").first.focus()
    assert "<b>rival</b>" in page.inner_text("#alternatives")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.token')[1]")
    assert page.locator("article img, article script, article iframe, #alternatives b").count() == 0


def test_stop_regenerate_edit_and_versions(visit: Callable[..., Any]) -> None:
    page = visit()
    ask(page, SLOW)
    page.locator("article.assistant", has_text="……").wait_for()
    page.keyboard.press("Escape")
    page.locator(".figures", has_text="You stopped it").wait_for()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the message").fill("another")
    page.keyboard.press("Enter")
    page.locator("article.assistant .figures", has_text="99").wait_for()
    page.get_by_role("button", name="Regenerate").click()
    page.locator("article.assistant", has_text="2 / 2").wait_for()
    page.locator("article.user").get_by_label("Previous version").click()
    assert page.locator("article.user .text").inner_text() == SLOW
    assert "You stopped it" in page.locator("article.assistant").inner_text()
    page.reload()
    page.locator("article.user", has_text="1 / 2").get_by_label("Next version").click()
    assert page.locator("article.user .text").inner_text() == "another"
    page.locator("article.assistant", has_text="2 / 2").wait_for()


def test_a_model_without_a_chat_template_goes_on_from_the_text(visit: Callable[..., Any]) -> None:
    page = visit()
    assert page.locator("#model option").all_inner_texts() == ["talker", "writer"]  # and no model that only reads
    page.select_option("#model", "writer")
    answered(page, "Once").locator(".figures", has_text="limit").wait_for()
    page.locator("#plain:visible").wait_for()
    page.press("#message", "Enter")  # nothing written: the text goes on
    page.locator("article").nth(2).locator(".figures").wait_for()
    assert page.locator("article .text").all_inner_texts() == ["Once", " [Once]", " [Once [Once]]"]


def test_a_running_text_goes_on_from_another_token(visit: Callable[..., Any]) -> None:
    page = visit()
    page.select_option("#model", "writer")
    answered(page, "Once").locator(".figures", has_text="limit").wait_for()
    page.click("#probabilities")
    page.locator(".token").nth(1).click()
    page.get_by_role("button", name="rival").click()
    page.locator("article.assistant", has_text="2 / 2").wait_for()
    assert page.locator("article.assistant .text").inner_text() == " [ rival [Once [ rival]"
    assert page.locator("#alternatives").is_hidden()


def test_an_answer_goes_on_from_another_token(visit: Callable[..., Any]) -> None:
    page = visit()
    answered(page, "x")
    page.click("#probabilities")
    page.locator(".token").nth(2).click()
    with page.expect_request("**/v1/chat/completions") as request:
        page.get_by_role("button", name="<b>rival</b>").first.click()
    body = request.value.post_data_json
    begun = f"{HOSTILE[:8]}<b>rival</b>"
    assert body["continue_final_message"] is True
    assert body["messages"] == [{"role": "user", "content": "x"}, {"role": "assistant", "content": begun}]
    page.locator("article.assistant", has_text="2 / 2").wait_for()
    text = page.locator("article.assistant .text").inner_text()
    assert text.startswith(begun) and text.endswith(f"你好，{begun}")
    with page.expect_request("**/v1/chat/completions") as request:
        page.get_by_role("button", name="Regenerate").click()
    assert "continue_final_message" not in request.value.post_data_json


def test_markdown_is_formatted_while_it_grows(visit: Callable[..., Any]) -> None:
    page = visit()
    open_requests, most = set[Any](), 0

    def asked(request: Any) -> None:
        nonlocal most
        if request.url.endswith("/page/markdown"):
            open_requests.add(request)
            most = max(most, len(open_requests))

    page.on("request", asked)
    page.on("requestfinished", lambda request: open_requests.discard(request))
    ask(page, SLOW)
    answer = page.locator("article.assistant .text")
    bold = answer.locator("strong", has_text="bold").element_handle()  # while it is being written
    assert bold and page.locator("#stop").is_visible()
    for dots in ("……", "…………………………"):  # each further text stands there, formatted or not
        page.locator("article.assistant", has_text=f"slow{dots}").wait_for()
    assert bold.is_visible()  # a block that stays as it was is never drawn anew
    page.keyboard.press("Escape")
    page.locator(".figures", has_text="You stopped it").wait_for()
    page.locator("article.assistant .text.formatted").wait_for()
    assert page.locator("article.assistant .text p").last.inner_text().startswith("你好，slow……")
    assert most == 1
    assert answer.locator("img, script, iframe").count() == 0


def test_a_table_grows_row_by_row(visit: Callable[..., Any]) -> None:
    page = visit()
    page.evaluate("""async () => {
        const { showFormatted } = await import("/page/formatted.js");
        const place = document.body.appendChild(document.createElement("div"));
        place.id = "place";
        window.message = { text: "|x|y|\\n|-|-|\\n|1|2|" };
        window.grow = (text) => { message.text += text; showFormatted(place, message); };
        grow("");
    }""")
    page.locator("#place td", has_text="2").wait_for()
    page.evaluate("grow('\\n|3')")
    assert page.locator("#place > .tail").text_content() == "|3"
    page.evaluate("grow('|4|')")
    page.locator("#place td", has_text="4").wait_for()
    assert page.locator("#place td").all_text_contents() == ["1", "2", "3", "4"]
    assert page.locator("#place .tail").text_content() == ""


def test_colours_come_while_an_answer_grows(visit: Callable[..., Any]) -> None:
    page = visit()
    page.click("#probabilities")
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    ask(page, "x")
    page.locator("article.assistant .figures", has_text="99").wait_for()
    assert "".join(page.locator(".token").all_text_contents()) == f"{HOSTILE}你好，x"
    assert not any(url.endswith("/page/markdown") for url in asked)


def test_speed_beside_the_limit_and_how_full_the_context_is(visit: Callable[..., Any]) -> None:
    page = visit()
    answer = answered(page, "x")
    figures = answer.locator(".figures")
    assert re.search(r"^99 tokens · [\d.]+ tokens/s, \d+ % of this machine’s limit$", figures.inner_text())
    assert "270 MB" in figures.get_attribute("title") and "46.7 tokens/s at most" in figures.get_attribute("title")
    assert answer.locator(".context").inner_text() == "125 / 500 tokens of context"
    assert answer.locator(".context .meter").get_attribute("aria-valuenow") == "125"
    assert answer.locator(".meter > span").evaluate("filled => filled.style.width") == "25%"
    page.click("#new")
    page.select_option("#model", "writer")  # of which neither is known
    assert answered(page, "x").locator(".context").count() == 0


def test_a_question_without_an_answer_can_be_asked_again(visit: Callable[..., Any]) -> None:
    page = visit()
    # The browser notes the refusal as it notes every 400.
    refusal = {"error": {"message": "the queue is full", "type": "x", "param": None, "code": "queue_full"}}
    page.route("**/v1/chat/completions", lambda route: route.fulfill(status=400, json=refusal))
    ask(page, "x")
    page.get_by_text("the queue is full").wait_for()
    assert page.locator("article").count() == 1
    page.unroute("**/v1/chat/completions")
    page.get_by_role("button", name="Regenerate").click()
    page.locator("article.assistant .figures", has_text="99").wait_for()
    assert page.locator("#notice").is_hidden()


def test_a_server_with_keys_is_given_one(visit: Callable[..., Any]) -> None:
    page = visit()
    key = "Bearer a-long-enough-key"
    seen = list[str | None]()

    def guarded(route: Any) -> None:
        seen.append(route.request.headers.get("authorization"))
        route.continue_() if seen[-1] == key else route.fulfill(status=401, json={"error": {"message": "a key is needed"}})

    page.route("**/v1/models", guarded)
    page.reload()
    page.locator("#key:focus").fill("a-long-enough-key")
    page.click("#done")
    page.locator("#send:enabled").wait_for()
    with page.expect_request("**/v1/chat/completions") as request:
        ask(page, "x")
    assert request.value.headers["authorization"] == key and seen == [None, key]


def test_a_deleted_conversation_is_gone_and_the_others_stay(visit: Callable[..., Any]) -> None:
    page = visit()
    answered(page, "first")
    page.click("#new")
    ask(page, SLOW)
    page.locator("article.assistant", has_text="……").wait_for()
    page.evaluate("window.confirm = () => true")
    page.get_by_role("button", name=f"Delete conversation: {SLOW}").click()
    page.locator("#welcome").wait_for()
    page.reload()
    page.locator("article.user", has_text="first").wait_for()
    assert page.locator("#conversations li").count() == 1


def test_language_appearance_and_settings_stay(visit: Callable[..., Any]) -> None:
    page = visit()
    assert page.get_by_role("button", name="Send").is_visible()
    page.click("#open_settings")
    page.select_option("#language", "zh")
    page.get_by_role("button", name="完成").wait_for()
    page.select_option("#theme", "dark")
    page.fill("#temperature", "9")
    page.click("#done")
    assert page.locator("#settings").is_visible()  # 9 is out of range, and says so
    page.fill("#temperature", "0.5")
    page.click("#done")
    page.reload()
    page.get_by_role("button", name="发送").wait_for()
    page.locator("#send:enabled").wait_for()
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert dark == "rgb(27, 26, 25)"
    with page.expect_request("**/v1/chat/completions") as request:
        ask(page, "x")
    assert request.value.post_data_json["temperature"] == 0.5
    assert "seed" not in request.value.post_data_json


def test_a_phone_in_chinese_scrolls_down_only(visit: Callable[..., Any]) -> None:
    page = visit(viewport=PHONE, locale="zh-CN", has_touch=True)
    assert page.get_by_role("button", name="发送").is_visible()
    answered(page, "字" * 300)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.click("#menu")
    page.get_by_role("button", name="新对话").click()
    page.locator("#welcome").wait_for()


def test_a_conversation_with_the_real_server(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.select_option("#model", "talker")
    page.click("#open_settings")
    page.fill("#max_tokens", "12")
    page.fill("#seed", "7")
    page.click("#done")
    answer = answered(page, "Hello")
    answer.locator(".figures", has_text="12 tokens").wait_for()
    page.get_by_role("button", name="Regenerate").click()
    page.locator("article.assistant .figures", has_text="12 tokens").wait_for()
    kept = page.evaluate("JSON.parse(Object.entries(localStorage).find(([name]) => name.includes('conversation'))[1]).messages")
    first, second = (message for message in kept if message["role"] == "assistant")
    assert first["text"] == second["text"]  # the seed is the same
    assert len(first["tokens"]) == 12 and all(0 <= token["probability"] <= 1 for token in first["tokens"])
    assert all(len(token["others"]) == 5 for token in first["tokens"])


def test_an_answer_goes_on_from_another_token_by_the_real_server(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.select_option("#model", "talker")
    page.click("#open_settings")
    page.fill("#max_tokens", "9")
    page.fill("#temperature", "0")
    page.click("#done")
    page.click("#probabilities")
    answered(page, "Hello").locator(".context", has_text="/ 256").wait_for()
    used = int(page.locator(".context .meter").get_attribute("aria-valuenow"))
    first = page.locator(".token").all_text_contents()
    rivals = page.locator("#alternatives button")
    for place in range(1, 9):
        page.locator(".token").nth(place).dispatch_event("click")
        if rivals.count():
            break
    rivals.first.click()
    page.locator("article.assistant", has_text="2 / 2").wait_for()
    second = page.locator(".token").all_text_contents()
    assert len(second) == place + 1 + 9
    assert second[:place] == first[:place] and second[place] != first[place]
    assert int(page.locator(".context .meter").get_attribute("aria-valuenow")) >= used


def test_a_running_text_by_the_real_server(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.select_option("#model", "base")
    page.click("#open_settings")
    page.fill("#max_tokens", "9")
    page.click("#done")
    page.click("#probabilities")
    answered(page, "Once").locator(".figures", has_text="9 tokens").wait_for()
    page.locator("#plain:visible").wait_for()
    rivals = page.locator("#alternatives button")
    for place in range(9):  # a token all of whose rivals are parts of characters offers none
        page.locator(".token").nth(place).dispatch_event("click")
        if rivals.count():
            break
    rivals.first.click()
    page.locator("article.assistant", has_text="2 / 2").wait_for()
    assert page.locator(".token").count() == place + 1 + 9


def test_the_page_is_open_where_the_api_needs_a_key(
    serve: Callable[..., Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("a-long-enough-key\n")
    with serve(folders["talker"], "--api-keys", tmp_path / "keys") as address:
        assert [fetch(f"{address}/{path}")[0] for path in ("", "page/page.js")] == [200, 200]
        assert [fetch(f"{address}/{path}")[0] for path in ("v1/models", "page/none.js")] == [401, 401]
        assert fetch(f"{address}/page/markdown", b'{"text": "x"}')[0] == 401
