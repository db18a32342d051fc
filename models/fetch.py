"""Downloads the files of a registered model, as a process of its own.

    python -m models.fetch MLFLOW_ADDRESS RUN_ID FOLDER

MLflow's library stays out of the doors: it is large, and it can load code. Ends with 0, or
with the reason as the last line of standard error: 1 where MLflow did not give the files, 3 where
this machine cannot keep them.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

NO_ROOM: Final = 3
_NO_ROOM_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


def fetch(address: str, run_id: str, folder: Path) -> None:
    """Put the named files of a bundle into ``folder``; only those, by their fixed names."""
    from mlflow import MlflowClient

    from models.bundle import MANIFEST, files_named
    from models.names import ARTIFACT_FOLDER

    client = MlflowClient(tracking_uri=address)
    incoming = folder / "incoming"
    incoming.mkdir()

    def bring(name: str) -> None:
        # Where MLflow puts the file below the folder differs between its versions.
        got = client.download_artifacts(run_id, f"{ARTIFACT_FOLDER}/{name}", str(incoming))
        os.replace(got, folder / name)

    bring(MANIFEST)
    for name in files_named(folder):
        bring(name)


def main() -> int:
    """Cap the size of any file written, then download."""
    import resource

    from mlflow.exceptions import MlflowException

    from models.bundle import FILE_BYTES_MAX

    os.nice(10)  # the payments go first
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    least = FILE_BYTES_MAX if most == resource.RLIM_INFINITY else min(most, FILE_BYTES_MAX)
    resource.setrlimit(resource.RLIMIT_FSIZE, (least, least))
    address, run_id, folder = sys.argv[1:]
    try:
        fetch(address, run_id, Path(folder))
    except (MlflowException, OSError) as error:
        print(str(error).splitlines()[0][:300], file=sys.stderr)
        return NO_ROOM if _lacks_room(error) else 1
    return 0


def _lacks_room(error: BaseException) -> bool:
    """Whether this machine's disk is what failed, also below errors of MLflow."""
    known: BaseException | None = error
    while known is not None:
        if isinstance(known, OSError) and known.errno in _NO_ROOM_ERRORS:
            return True
        known = known.__cause__ or known.__context__
    return False


if __name__ == "__main__":
    sys.exit(main())
