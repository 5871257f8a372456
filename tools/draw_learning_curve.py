"""Draw a run's learning curve as an SVG: held-out bits per byte against seconds, beside the baselines.

.venv/bin/python tools/draw_learning_curve.py runs/wikipedia-sample docs/pictures/learning-curve.svg
"""

import json
import sys
from pathlib import Path

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 30, 45
INK, FAINT, CURVE, DOT = "#555", "#bbb", "#d9822b", "#1f77b4"


def draw(run: Path) -> str:
    """The picture of one run folder, as SVG text readable on a light and on a dark page."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [(record["seconds"], record["bits_per_byte"]) for record in records if record["kind"] == "step"]
    checks = [(record["seconds"], record["bits_per_byte"]) for record in records if record["kind"] == "validation"]
    systems = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["systems"]
    finals = {system["name"]: system["bits_per_byte"]["value"] for system in systems}
    end = steps[-1][0]
    smooth, curve = steps[0][1], []
    for seconds, bits in steps:
        smooth += 0.05 * (bits - smooth)
        curve.append((seconds, smooth))
    low, high = min([smooth, *finals.values()]) - 0.1, 3.5

    def x(seconds: float) -> float:
        return LEFT + seconds / end * (WIDTH - LEFT - RIGHT)

    def y(bits: float) -> float:
        return TOP + (high - min(bits, high)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def text(left: float, top: float, words: str, colour: str = INK, anchor: str = "start") -> str:
        return f'<text x="{left:.1f}" y="{top:.1f}" fill="{colour}" text-anchor="{anchor}">{words}</text>'

    parts = [text(LEFT, TOP - 12, "bits per byte")]
    for tick in (2.0, 2.5, 3.0, 3.5):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{FAINT}"/>')
        parts.append(text(LEFT - 8, y(tick) + 4, f"{tick:.1f}", anchor="end"))
    for minute in range(int(end // 60) + 1):
        parts.append(text(x(60 * minute), HEIGHT - BOTTOM + 22, f"{minute} min", anchor="middle"))
    points = " ".join(f"{x(seconds):.1f},{y(bits):.1f}" for seconds, bits in curve)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{CURVE}" stroke-width="1.5"/>')
    parts.append(text(x(end) + 8, y(smooth) + 4, "training text, smoothed", CURVE))
    for seconds, bits in checks:
        parts.append(f'<circle cx="{x(seconds):.1f}" cy="{y(bits):.1f}" r="4" fill="{DOT}"/>')
    parts.append(text(x(end) + 8, y(finals["textmill"]) + 14, f"held out: {finals['textmill']:.2f}", DOT))
    for name, value in finals.items():
        if name != "textmill":
            line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{INK}" '
            parts.append(line + 'stroke-dasharray="5 4"/>')
            parts.append(text(x(end) + 8, y(value) + 4, f"{name}: {value:.2f}"))
    style = 'font-family="sans-serif" font-size="12"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    target = Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(draw(Path(sys.argv[1])), encoding="utf-8")
