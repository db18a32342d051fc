"""What `weir retrain` does: rows, training, both models on one test part, and the shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.rows import Rows
    from models.scorer import Scorer
    from risk.cli.train_data import Wanted
    from risk.cli.train_job import Options
    from risk.settings import Settings

BY = "retrain"
WHY = "retrained, to be compared with the champion"


def retrained(wanted: Wanted, options: Options) -> dict[str, Any]:
    """Train, measure and shadow a new version; the report.

    Raises as training does, and BadModel where the new version may not serve: it is a draft then,
    and the alias stays where it was.
    """
    from models.names import CHALLENGER
    from risk.cli.models_job import to_shadow
    from risk.cli.train_data import rows_wanted
    from risk.cli.train_job import settings_of, train_rows

    settings = settings_of(wanted.world)
    rows = rows_wanted(settings, wanted)
    champion, refused = _champion(settings)
    found = train_rows(settings, rows, wanted, options)
    told = {
        "champion": None if champion is None else _measured(champion, rows, wanted, options.seed),
        "champion_refused": refused,
        "challenger": {"model_digest": found["model_digest"], **found["metrics"]},
    }
    to_shadow(settings.world, found["version"], BY, WHY)
    return found | told | {"alias": CHALLENGER}


def _champion(settings: Settings) -> tuple[Scorer | None, str]:
    """The champion, or none and why."""
    from risk.cli.train_job import model_of
    from risk.domain.errors import BadModel

    try:
        return model_of(settings, "champion", "retrain"), ""
    except BadModel as error:
        return None, str(error)


def _measured(scorer: Scorer, rows: Rows, wanted: Wanted, seed: int) -> dict[str, Any]:
    """The figures of ``scorer`` on the part that the new model was measured on."""
    import numpy as np

    from models.dataset import split_by_time
    from models.measures import Graded, as_json, measured
    from risk.cli.train_data import DAY_MS
    from risk.policy import Policy

    samples = rows.samples
    delay_ms = round(wanted.label_delay_days * DAY_MS)
    test = split_by_time(samples, rows.until_ms, delay_ms).test
    graded = Graded(
        test.fraud, scorer.score(np.ascontiguousarray(samples.matrix[test.rows])),
        rows.account[test.rows], samples.time_ms[test.rows], samples.amount_base[test.rows],
        Policy().review_at,
    )  # fmt: skip
    return {"model_digest": scorer.model_digest, **as_json(measured([graded], seed))}
