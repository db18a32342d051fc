"""Executes a notebook in a kernel of this interpreter, in a process of its own.

    python -m tests.support.run_notebook FILE

Ends with 0, or with the cell and its error on standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_S = 120
WHO = "import os, sys; print(os.path.realpath(sys.executable))"


def main() -> int:
    """Run the notebook that is named; prints how many pictures it shows."""
    untyped: Any = nbformat
    notebook = untyped.read(Path(sys.argv[1]), as_version=4)
    notebook.cells.append(untyped.v4.new_code_cell(WHO))
    try:
        NotebookClient(notebook, timeout=CELL_S, kernel_name="python3").execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    said = "".join(output.get("text", "") for output in notebook.cells[-1].outputs).strip()
    if said != os.path.realpath(sys.executable):
        print(f"the kernel is {said}, not {sys.executable}", file=sys.stderr)
        return 1
    pictures = sum("image/png" in output.get("data", {}) for cell in notebook.cells
                   for output in cell.get("outputs", []))  # fmt: skip
    print(pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
