"""Write the notebook twin of each example: the same cells, run once, with what they print and draw.

    python tools/make_notebooks.py [NAME …]     # those of examples/NAME.py; default: all

tests/test_examples.py holds that no twin differs from its script.
"""

import sys
from pathlib import Path

import jupytext
from nbformat import NotebookNode

EXAMPLES = Path(__file__).parent.parent / "examples"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def notebook_of(script: Path) -> NotebookNode:
    """The script's cells, not yet run, always in the same words."""
    notebook = jupytext.read(script)
    notebook.metadata = NotebookNode(KERNEL)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = NotebookNode()
    return notebook


def main() -> None:
    import nbclient  # only here: the tests compare cells, and run none

    names = sys.argv[1:] or sorted(script.stem for script in EXAMPLES.glob("*.py"))
    for name in names:
        notebook = notebook_of(EXAMPLES / f"{name}.py")
        nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when it was run
        jupytext.write(notebook, EXAMPLES / f"{name}.ipynb")
        print(EXAMPLES / f"{name}.ipynb")


if __name__ == "__main__":
    main()
