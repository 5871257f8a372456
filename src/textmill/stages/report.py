"""The report stage: everything the run folder holds, as one page to look at."""

from typing import Any

from .. import __version__
from ..files import read_json, sha256_of_file
from ..ledger import FILE as LEDGER_FILE
from ..report.facts import LIFE
from ..report.page import write_report
from .workplace import Workplace


def report_inputs(place: Workplace) -> dict[str, Any]:
    """What the page shows: the other stages' entries and accounts. Not its own, which change whenever it is written."""
    ledger = place.folder / LEDGER_FILE
    accounts = read_json(ledger) if ledger.is_file() else {}
    return {
        "stages": {name: place.manifest["stages"][name] for name in LIFE},
        "accounts": {name: accounts.get(name) for name in LIFE},
        "textmill": __version__,
    }


def make_report(place: Workplace) -> dict[str, Any]:
    """The run folder -> report.html."""
    path = write_report(place.folder)
    print(f"  {path}: open it in a browser")
    return {"hash": sha256_of_file(path)}
