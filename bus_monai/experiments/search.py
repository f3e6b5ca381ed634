"""Search over settings with Optuna."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState

from bus_monai.errors import UserError
from bus_monai.experiments.parent_run import ParentRun
from bus_monai.experiments.space import Choice
from bus_monai.experiments.train_run import train_run
from bus_monai.weights import check_writable

STUDY = "study.db"
TABLE = "trials.csv"
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
WARM_UP = 4
"""Epochs before a trial may be pruned, and trials that are never pruned: medians need something to stand on."""


def search(
    bundle: Path, out: Path, overrides: Mapping[str, Any], space: Sequence[Choice], *, trials: int | None = None
) -> optuna.Study:
    """Maximise the best validation score over a space of settings.

    A space of choices alone is searched whole (a grid) unless ``trials`` says how many; with a range the
    tree-structured Parzen estimator proposes (Bergstra et al., NeurIPS 2011). A trial whose score stays below the
    median of the earlier ones at the same epoch is pruned. Started again with the same folder it goes on: a trial that
    was stopped in the middle is taken up from its last epoch.

    Args:
        bundle: folder of the bundle.
        out: gets a folder a trial, Optuna's ``study.db`` and ``trials.csv``.
        overrides: keys of ``train.json`` that stay the same.
        space: what varies.
        trials: how many trainings in all.

    Raises:
        UserError: a range without a number of trials, or a folder that holds a study of another space.
    """
    grid = {choice.key: list(range(len(choice.values))) for choice in space if choice.values}
    whole = len(grid) == len(space)
    if trials is None and not whole:
        raise UserError("A range has no end of values: say with --trials how many to try.")
    total = trials or math.prod(len(values) for values in grid.values())
    check_writable(out)
    parent = ParentRun(out, experiment=bundle.name, name=f"{bundle.name}, search")
    # its warnings are tracebacks of trials that were stopped, or whose error ends the search
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{out / STUDY}",
        study_name=bundle.name,
        direction="maximize",
        load_if_exists=True,
        sampler=TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=WARM_UP),
    )
    _same_space(study, space, out)
    _take_up(study)
    if trials is None:
        _queue(study, [dict(zip(grid, indices, strict=True)) for indices in itertools.product(*grid.values())])
    finished = sum(trial.state in DONE for trial in study.trials)

    def objective(trial: Trial) -> float:
        settings = {choice.key: _suggest(trial, choice) for choice in space}
        folder = out / _name(settings)
        trial.set_user_attr("folder", folder.name)
        pruned = False

        def go_on(epoch: int, score: float) -> bool:
            nonlocal pruned
            trial.report(score, epoch)
            pruned = trial.should_prune()
            return not pruned

        common = {"parent_run": parent.id, "run_name": folder.name}
        best = train_run(bundle, folder, dict(overrides) | common | settings, on_epoch=go_on)
        if pruned:
            raise optuna.TrialPruned
        return best

    def tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        score = "pruned" if trial.value is None else f"{trial.value:.4f}"
        print(f"trial {trial.number + 1}: {trial.user_attrs['folder']}: {score}")

    if finished < total:
        with parent:
            study.optimize(objective, n_trials=total - finished, callbacks=[tell])
    study.trials_dataframe().to_csv(out / TABLE, index=False)
    parent.complete({"best_val_score": study.best_value}, out / TABLE)
    return study


def _suggest(trial: Trial, choice: Choice) -> Any:
    if not choice.values:
        return trial.suggest_float(choice.key, choice.low, choice.high, log=choice.log)
    # by index, since Optuna takes no lists as values
    return choice.values[trial.suggest_categorical(choice.key, range(len(choice.values)))]


def _name(settings: Mapping[str, Any]) -> str:
    """Name the folder of a trial: readable, without the comma of ensembles, and the same for the same settings."""
    parts = [f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in settings.items()]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9=._-]+', '_', '_'.join(parts))[:100]}-{digest}"


def _same_space(study: optuna.Study, space: Sequence[Choice], out: Path) -> None:
    now = json.dumps([[c.key, list(c.values), c.low, c.high, c.log] for c in space])
    if study.user_attrs.get("space", now) != now:
        raise UserError(f"'{out}' holds a search over another space: give another folder, or the same --vary.")
    study.set_user_attr("space", now)


def _take_up(study: optuna.Study) -> None:
    """Queue again the trials whose process ended before they did; their folders hold the last epoch."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    _queue(study, [trial.params for trial in study.get_trials(states=(TrialState.FAIL,)) if trial.params])


def _queue(study: optuna.Study, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Queue what is neither done nor queued."""
    states = (*DONE, TrialState.WAITING)
    # the parameters of a trial that waits are not drawn yet
    known = [trial.system_attrs.get("fixed_params", trial.params) for trial in study.get_trials(states=states)]
    for params in wanted:
        if params not in known:
            study.enqueue_trial(dict(params))
            known.append(params)
