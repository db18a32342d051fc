"""Finds LightGBM's settings with Optuna within a budget, and goes on where it was stopped.

Trials train on the train part and are ranked by average precision on the validation part; the
test part is never looked at. The first trial has the fixed settings, so tuning cannot end below
them. The study is kept in a SQLite file: a second run with the same data, seed and search
continues it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lightgbm
import numpy as np
from numpy.typing import NDArray

from features.catalogue import catalogue_digest
from models.boosting import FIXED, ROUNDS, Parameters, dataset, monotone_constraints, prepared
from models.evaluate import average_precision
from risk.domain.errors import BadConfiguration, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna import Study, Trial

SEARCH_VERSION: Final = 1  # part of a study's name: another search is another study
_STEP: Final = 25  # rounds between looks at the validation part
_REPORT: Final = 100  # rounds between words to the study; each is a write to the disk
_PATIENCE: Final = 100  # rounds without a better validation
_QUIET_TRIALS: Final = 4  # before anything is pruned


@dataclass(frozen=True, slots=True)
class Budget:
    """Trials in all, those of earlier runs included, and seconds of this run (None: no bound).

    A trial has at most ``rounds`` trees.
    """

    trials: int
    seconds: float | None = None
    rounds: int = 1_200

    def __post_init__(self) -> None:
        if self.trials < 1 or (self.seconds is not None and not self.seconds > 0.0):
            raise BadConfiguration("tuning: --trials and --seconds must be more than 0")


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows to train on and, later in time, to rank trials by."""

    train: NDArray[np.float64]
    train_fraud: NDArray[np.bool_]
    held: NDArray[np.float64]
    held_fraud: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best settings; ``value`` is their average precision on the validation part."""

    parameters: Parameters
    rounds: int
    value: float
    trials: int
    pruned: int
    resumed: int


Told = Callable[[int, int, float], None]  # trials done, trials in all, best value so far


def study_name(digest: str, seed: int) -> str:
    """The name under which a search is continued: data, catalogue, seed and search space."""
    whole = f"{digest} {catalogue_digest()} {seed} {SEARCH_VERSION} {sorted(FIXED.items())}"
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def tune(
    parts: Parts,
    budget: Budget,
    store: Path,
    name: str,
    seed: int,
    told: Told = lambda done, total, best: None,
) -> Chosen:
    """The best settings found within ``budget``; the study ``name`` lives in the file ``store``.

    Raises Unavailable where the file cannot be written, BadConfiguration where no trial ended.
    """
    with _storing(store):
        study = _study(store, name, seed)
        resumed = len(study.trials)
        if resumed == 0:
            study.enqueue_trial(dict(_FIRST))
        held = _Held(parts, budget.rounds, seed)

        def after(study: Study, _trial: object) -> None:
            done = [one for one in study.trials if one.state.is_finished()]
            told(len(done), budget.trials, _best(study))

        left = budget.trials - sum(one.state.is_finished() for one in study.trials)
        if left > 0:
            study.optimize(
                held.trial, n_trials=left, timeout=budget.seconds, callbacks=[after], n_jobs=1
            )
        return _chosen(study, resumed)


_FIRST: Final[dict[str, Any]] = {
    name: FIXED[name]
    for name in (
        "learning_rate", "num_leaves", "min_data_in_leaf", "min_sum_hessian_in_leaf",
        "lambda_l2", "feature_fraction", "bagging_fraction",
    )
} | {"path_smooth": 0.0}  # fmt: skip


def _suggested(trial: Trial) -> dict[str, float | int | str | bool]:
    """The search space. Hessians of a leaf stay at 1 or more: rare frauds blow up lesser ones."""
    return {
        **FIXED,
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.15, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 48, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 200, log=True),
        "min_sum_hessian_in_leaf": trial.suggest_float(
            "min_sum_hessian_in_leaf", 1.0, 10.0, log=True
        ),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 30.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "path_smooth": trial.suggest_float("path_smooth", 0.0, 20.0),
    }


class _Held:
    """The rows, binned once for all trials."""

    def __init__(self, parts: Parts, rounds: int, seed: int) -> None:
        self._parts = parts
        self._rounds = rounds
        self._seed = seed
        self._data = dataset(parts.train, parts.train_fraud, FIXED)
        self._constraints = monotone_constraints()

    def trial(self, trial: Trial) -> float:
        """Average precision on the held rows at the best number of rounds."""
        import optuna

        parts = self._parts
        parameters = _suggested(trial)
        # Bins are made already; these two decide them and cannot be asked for again.
        asked = prepared(parameters, self._seed, self._constraints)
        booster = lightgbm.Booster({**asked, "feature_pre_filter": False}, self._data)
        raw = np.zeros(len(parts.held))
        best, best_round = -math.inf, _STEP
        for done in range(_STEP, self._rounds + 1, _STEP):
            for _ in range(_STEP):
                booster.update()
            raw += booster.predict(
                parts.held, raw_score=True, start_iteration=done - _STEP, num_iteration=_STEP
            )
            value = average_precision(parts.held_fraud, raw)
            if value > best:
                best, best_round = value, done
            if done % _REPORT == 0:
                trial.report(best, done)
                if trial.should_prune():
                    raise optuna.TrialPruned
            if done - best_round >= _PATIENCE:
                break
        trial.set_user_attr("rounds", best_round)
        return best


def _study(store: Path, name: str, seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    store.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{store}",
        study_name=name,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(_QUIET_TRIALS, n_warmup_steps=_REPORT),
        load_if_exists=True,
    )
    # A run that was killed leaves its trial unfinished; it counts for nothing.
    for one in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(one.number, state=optuna.trial.TrialState.FAIL)
    return study


def _chosen(study: Study, resumed: int) -> Chosen:
    import optuna

    states = [one.state for one in study.trials]
    if optuna.trial.TrialState.COMPLETE not in states:
        raise BadConfiguration(
            "tuning: no trial ended within the budget; give more --seconds, or --no-tune"
        )
    best = study.best_trial
    return Chosen(
        parameters={**FIXED, **best.params},
        rounds=int(best.user_attrs.get("rounds", ROUNDS)),
        value=float(best.value or 0.0),
        trials=len(states),
        pruned=states.count(optuna.trial.TrialState.PRUNED),
        resumed=resumed,
    )


def _best(study: Study) -> float:
    values = [one.value for one in study.trials if one.value is not None]
    return max(values, default=float("nan"))


@contextmanager
def _storing(store: Path) -> Iterator[None]:
    """Errors of the SQLite file become Unavailable."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise Unavailable("tuning", f"{store} cannot be used: {reason}") from error
