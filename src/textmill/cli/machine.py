"""The verb that looks at the machine."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from .app import app

SECONDS = 55.0  # that doctor takes at most, from the moment the process was started


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts, instead of lines.")] = False,
) -> None:
    """Run everything that training leans on once: what this machine can do, what will be used, what is missing."""
    from dataclasses import asdict

    import psutil

    from .. import __version__
    from ..machine.doctor import examine
    from ..machine.finding import Finding
    from ..machine.profile import machine_key, profile_file
    from ..models.attention import eager_attention, fused_attention
    from ..native.probe import probe

    attention = {"fused": fused_attention, "eager": eager_attention}
    findings: list[Finding] = []
    live = sys.stdout.isatty() and not as_json
    started = psutil.Process().create_time()
    for finding in examine(attention, probe, Path("runs"), SECONDS - (time.time() - started)):
        if not as_json:
            new_section = not findings or findings[-1].section != finding.section
            print((f"\n{finding.section}\n" if new_section else "") + finding.render(colour=live), flush=True)
        findings.append(finding)
    seconds = time.time() - started
    noisy = any(finding.values.get("noisy") for finding in findings)
    if as_json:
        used = {finding.name: finding.values["choice"] for finding in findings if "choice" in finding.values}
        head = {"textmill": __version__, "machine": machine_key(), "seconds": round(seconds, 1), "noisy": noisy, "used": used}
        print(json.dumps({**head, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        remembered = not noisy and profile_file().is_file()
        print(f"\nLooked at in {seconds:.0f} s." + (f" Speeds are remembered in {profile_file()}." if remembered else ""))
