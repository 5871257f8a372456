"""A file of requests answered by one model, in OpenAI's batch format and without a server. What is answered already stays:
an answer's `id` comes from its request's line, so that a run that was killed goes on, and only with the same requests."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import GenerationError
from ..inference.engine_thread import EngineStopped
from ..progress import Progress
from . import errors, labelling, readings, requests, tagging
from .errors import ApiError
from .reading_schema import ClassifyBody, EmbeddingBody, FillBody, ModerationBody, TagBody
from .schema import Body, ChatBody, CompletionBody
from .served import Served

BODIES: dict[str, type[Body]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/embeddings": EmbeddingBody,
    "/v1/fill": FillBody,
    "/v1/classify": ClassifyBody,
    "/v1/tag": TagBody,
    "/v1/moderations": ModerationBody,
}
OPENING = b'{"id": "batch_req_'  # of every line that is written
MOST_TOLD = 20  # problems


def run(served: Served, asked: Path, out: Path, side_by_side: int) -> tuple[int, int]:
    """Answer the requests in `asked` that `out` doesn't answer yet, so many `side_by_side`; lines come in the order in which
    they are complete. Memory holds the ids of all requests, and the requests that are being answered. Gives the number of
    answers in `out` and how many of the new ones are errors. Raises GenerationError before anything runs where a line isn't
    a request, or `out` belongs to others."""
    ids = _identities(asked)
    done = _answered_already(out, asked, ids)
    try:
        with out.open("ab") as writing, Progress("batch", len(ids), "requests") as progress:
            progress.start_from(len(done))
            lines = (line for line in _lines(asked) if _id(line) not in done)
            return len(ids), asyncio.run(_run(served, lines, writing, progress, side_by_side))
    except OSError as error:
        raise GenerationError(f"can't write {out}: {error.strerror or error}") from error


async def _run(served: Served, lines: Iterator[bytes], out: BinaryIO, progress: Progress, side_by_side: int) -> int:
    failed = 0

    async def work() -> None:
        nonlocal failed
        for line in lines:  # shared: whoever is free takes the next
            answer = await _answer(served, line)
            # In ASCII, since some readers take U+2028 and its like for the end of a line.
            out.write(json.dumps(answer).encode() + b"\n")
            out.flush()
            failed += answer["response"]["status_code"] != 200
            progress.advance(detail=f"{failed} errors" if failed else None)

    workers = [asyncio.ensure_future(work()) for _ in range(side_by_side)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return failed


async def _answer(served: Served, line: bytes) -> dict[str, Any]:
    """One line's answer. Raises EngineStopped, which no other line would survive either."""
    asked = json.loads(line)
    try:
        status, content = 200, await _content(served, asked)
    except EngineStopped:
        raise
    except Exception as error:
        told = errors.of_exception(error)
        status, content = told.status, errors.body(told.status, told.message, told.param, told.code)
    response = {"status_code": status, "request_id": f"req_{secrets.token_hex(12)}", "body": content}
    return {"id": _id(line), "custom_id": asked["custom_id"], "response": response, "error": None}


async def _content(served: Served, asked: dict[str, Any]) -> dict[str, Any]:
    if asked.get("method") != "POST" or asked.get("url") not in BODIES:
        found = f"{asked.get('method')!s:.20} {asked.get('url')!s:.100}"
        raise ApiError(404, f"a request in a batch is a POST to {', '.join(BODIES)}; found {found}", "url", "invalid_url")
    body = BODIES[asked["url"]].model_validate(asked.get("body"))
    if body.model != served.name:
        message = f"there is no model {body.model:.100}; this batch is answered by {served.name}"
        raise ApiError(404, message, "model", "model_not_found")
    if unknown := body.unknown():
        message = f"nobody knows {', '.join(unknown)[:200]} here; leave it out"  # a file has no header to name them in
        raise ApiError(400, message, unknown[0][:100], "unknown_parameter")
    if isinstance(body, EmbeddingBody):
        return (await readings.embeddings(served, body))[0]
    if isinstance(body, FillBody):
        return (await readings.fill(served, body))[0]
    if isinstance(body, ClassifyBody):
        return (await labelling.classified(served, body))[0]
    if isinstance(body, TagBody):
        return (await tagging.tagged(served, body))[0]
    if isinstance(body, ModerationBody):
        return (await labelling.moderated(served, body))[0]
    assert isinstance(body, ChatBody | CompletionBody)
    if body.stream:
        raise ApiError(400, "a batch has no streams; leave stream out", "stream", "invalid_value")
    if isinstance(body, ChatBody):
        form, wanted = await requests.of_chat(served, body, salt="")
    else:
        form, wanted = await requests.of_completion(served, body, salt="")
    return await form.whole(requests.side_by_side(served.writer(), wanted, ends=None))


def _lines(path: Path) -> Iterator[bytes]:
    """The lines that hold something."""
    with path.open("rb") as lines:
        yield from (line.strip() for line in lines if line.strip())


def _id(line: bytes) -> str:
    return f"batch_req_{hashlib.sha256(line).hexdigest()[:24]}"


def _identities(path: Path) -> dict[str, str]:
    """The custom_id of each request by its id. Raises GenerationError that tells of all lines that aren't requests."""
    problems, ids, first = [], dict[str, str](), dict[str, int]()
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    asked = json.loads(line)
                    custom = asked.get("custom_id") if isinstance(asked, dict) else None
                    if not isinstance(custom, str) or not custom:
                        problems.append(f"line {number}: write an object with a custom_id, found {line.decode().strip():.60}")
                    elif custom in first:
                        problems.append(f"line {number}: custom_id {custom:.60} is that of line {first[custom]} too")
                    else:
                        custom.encode()
                        first[custom], ids[_id(line.strip())] = number, custom
                except (ValueError, RecursionError) as error:
                    problems.append(f"line {number}: not JSON in UTF-8: {error!s:.100}")
    except OSError as error:
        raise GenerationError(f"can't read {path}: {error.strerror or error}") from error
    if problems:
        more = [f"and {len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
        raise GenerationError(*(f"{path}, {problem}" for problem in [*problems[:MOST_TOLD], *more]))
    if not ids:
        raise GenerationError(f"{path} has no requests; write one a line: custom_id, method, url, body")
    return ids


def _answered_already(out: Path, asked: Path, ids: dict[str, str]) -> set[str]:
    """The ids of the requests that `out` answers; a last line that was only half written is cut off. Raises GenerationError
    where it holds anything else."""
    if not out.exists():
        return set()
    done, whole = set[str](), 0
    with out.open("r+b") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n") and (line.startswith(OPENING) or OPENING.startswith(line)):
                lines.truncate(whole)
                break
            try:
                found = json.loads(line)["id"]
            except (ValueError, RecursionError, KeyError, TypeError):
                found = None
            if not isinstance(found, str) or found not in ids:
                message = f"{out}, line {number}, answers no request of {asked}, or one that has changed; name another file"
                raise GenerationError(message)
            done.add(found)
            whole += len(line)
    return done
