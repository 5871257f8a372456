"""Calls of functions as text: the one form in which a model's calls are read here.

It is that of Hermes and Qwen, a JSON object with a name and arguments between tags. Where a chat template writes calls in
another form, or knows of none, the functions, the calls and what they gave are told in words.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

OPENING, END_TAG = "<tool_call>", "</tool_call>"
CLOSING = f"}}\n{END_TAG}"

# A conversation that shows how a template writes calls.
TRIAL_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "trial",
        "description": "A trial of the template.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]},
    },
}
TRIAL_CALL = {"name": "trial", "arguments": {"key": "value"}}
TRIAL: list[dict[str, Any]] = [
    {"role": "user", "content": "question"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "call_trial", "type": "function", "function": TRIAL_CALL}]},
    {"role": "tool", "content": "result", "tool_call_id": "call_trial", "name": "trial"},
]


def head(name: str) -> str:
    """What stands between the opening tag and the arguments of a call."""
    return f'\n{{"name": "{name}", "arguments": '


def spelled(name: str, arguments: str) -> str:
    """A whole call; `arguments` is a JSON object."""
    return OPENING + head(name) + arguments + CLOSING


def reads_back(rendered: str) -> bool:
    """Whether a template that rendered TRIAL told of its function, its call in this form, and what the call gave."""
    found = False
    for behind in rendered.split(OPENING)[1:]:
        try:
            found |= json.loads(behind.partition(END_TAG)[0]) == TRIAL_CALL
        except (ValueError, RecursionError):
            continue  # such as an example in the template's own words
    return found and TRIAL_TOOL["function"]["description"] in rendered and "result" in rendered


def in_words(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same conversation for a template that doesn't know calls: functions in the system message, calls in the form that is
    read back, and what they gave as the user's words."""
    said: list[Mapping[str, Any]] = []
    for are_results, group in itertools.groupby(messages, lambda message: message.get("role") == "tool"):
        if are_results:  # in one message, since many templates want roles to take turns
            results = (f"<tool_response>\n{message.get('content') or ''}\n</tool_response>" for message in group)
            said.append({"role": "user", "content": "\n".join(results)})
        else:
            said += [_with_calls(message) for message in group]
    if not tools:
        return said
    told = _told(tools)
    if said[0].get("role") == "system":
        return [{**said[0], "content": f"{said[0]['content']}\n\n{told}"}, *said[1:]]
    return [{"role": "system", "content": told}, *said]


def _with_calls(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if not message.get("tool_calls"):
        return message
    functions = [call["function"] for call in message["tool_calls"]]
    calls = [spelled(one["name"], json.dumps(one["arguments"], ensure_ascii=False)) for one in functions]
    return {"role": message["role"], "content": "\n".join(filter(None, [message.get("content"), *calls]))}


def _told(tools: Sequence[Mapping[str, Any]]) -> str:
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    return (
        "These functions can be called, each told by a JSON object with a schema of its arguments:\n"
        f"<tools>\n{listed}\n</tools>\n"
        "To call one, write its name and its arguments as JSON between two tags, and nothing behind them:\n"
        f"{spelled('NAME', '{…}')}\nWhat it gives comes back between <tool_response> and </tool_response>."
    )
