"""Who may know whom: a module imports only what stands on a lower line of the house."""

import ast
from pathlib import Path

import textmill

HOUSE = [
    {"errors", "score", "files", "interruption", "progress", "processes", "machine", "ledger", "settings"},
    {"corpus"},
    {"tokens"},
    {"models"},
    {"native"},
    {"formats"},
    {"inference"},
    {"evaluation"},
    {"training"},
    {"report"},
    {"recipe"},
    {"tasks"},
    {"stages"},
    {"run", "closing"},
    {"comparison"},
    {"inspection"},
    {"benchmark"},
    {"serving"},
    {"cli"},
    {"__main__"},
]
ROOT = Path(textmill.__file__).parent
FLOOR = {name: number for number, names in enumerate(HOUSE) for name in names}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of the house that a module imports, by relative or absolute names."""
    package = ["textmill", *path.relative_to(ROOT).parts[:-1]]
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = [*base, *(node.module.split(".") if node.module else [])]
            names = [full] if len(full) > 1 else [[*full, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        rooms |= {name[1] for name in names if name[0] == "textmill" and len(name) > 1 and name[1] in FLOOR}
    return rooms


def test_every_module_has_its_floor() -> None:
    rooms = {room_of(path) for path in ROOT.rglob("*.py")} - {"__init__"}
    assert rooms == set(FLOOR)


def test_imports_go_downstairs_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in sorted(ROOT.rglob("*.py"))
        if room_of(path) != "__init__"
        for other in imported_rooms(path) - {room_of(path)}
        if FLOOR[other] >= FLOOR[room_of(path)] > 0 or FLOOR[other] > FLOOR[room_of(path)]
    ]
    assert not wrong
