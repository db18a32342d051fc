"""Downloads the files of a registered model, as a process of its own.

    python -m models.fetch MLFLOW_ADDRESS RUN_ID FOLDER

MLflow's library stays out of the doors: it is large, and it can load code. Ends with 0, or
with 1 and the reason as the last line of standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def fetch(address: str, run_id: str, folder: Path) -> None:
    """Put the named files of a bundle into ``folder``; only those, by their fixed names."""
    from mlflow import MlflowClient

    from models.bundle import FILES, MANIFEST
    from models.names import ARTIFACT_FOLDER

    client = MlflowClient(tracking_uri=address)
    incoming = folder / "incoming"
    incoming.mkdir()
    for name in (MANIFEST, *FILES):
        # Where MLflow puts the file below the folder differs between its versions.
        got = client.download_artifacts(run_id, f"{ARTIFACT_FOLDER}/{name}", str(incoming))
        os.replace(got, folder / name)


def main() -> int:
    """Cap the size of any file written, then download."""
    import resource

    from mlflow.exceptions import MlflowException

    from models.bundle import FILE_BYTES_MAX

    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    address, run_id, folder = sys.argv[1:]
    try:
        fetch(address, run_id, Path(folder))
    except (MlflowException, OSError) as error:
        print(str(error).splitlines()[0][:300], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
