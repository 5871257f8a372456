"""report.html of a folder that a task was learnt in: its errors worth looking at, made of nothing but its scores.json."""

from pathlib import Path
from typing import Any

from ..errors import RunError
from ..files import read_json, write_text
from .findings import finding
from .page import FILE, chosen_language, page_environment, page_parts

SCORES = "scores.json"


def is_task_folder(folder: Path) -> bool:
    """Whether a task was learnt there, and judged."""
    return (folder / SCORES).is_file() and not (folder / "manifest.json").is_file()


def write_task_page(folder: Path, language: str | None = None) -> Path:
    """Write the page into the folder and return its path. Raises RunError where its scores aren't what a task writes."""
    told = read_json(folder / SCORES)
    path = folder / FILE
    try:
        write_text(path, render_task_page(folder.resolve().name, told, chosen_language(language)))
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder / SCORES} isn't what this version of textmill writes ({error}); learn the task again"
        ) from error
    return path


def render_task_page(name: str, told: dict[str, Any], language: str = "en") -> str:
    """The page's HTML. The same scores give the same bytes."""
    template = page_environment().get_template("task.html")
    shown = {
        "name": name,
        "told": told,
        "findings": [finding(each["key"], each["values"]) for each in told.get("data", [])],
        "calibration": _bars(told.get("calibration", {}).get("bins", [])),
        "confusions": told.get("confusions") if isinstance(told.get("confusions"), dict) else None,
    }
    return template.render(**shown, title=name, language=language, **page_parts())


def _bars(bins: list[list[float]]) -> list[dict[str, Any]]:
    """Of each bin that holds something: what was thought likely, and what was right."""
    rows = []
    for number, (count, sure, right) in enumerate(bins):
        if count:
            bounds = f"{number / len(bins):.0%} – {(number + 1) / len(bins):.0%}"
            rows.append({"bounds": bounds, "count": int(count), "thought": sure / count, "right": right / count})
    return rows
