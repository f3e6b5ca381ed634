"""Search over settings with Optuna, and the spaces it searches."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState

from bus_monai.bundle.run import train_run
from bus_monai.bundle.settings import holds_weights, keep_to_first_start, parse_value
from bus_monai.errors import UserError, check_choice, is_number
from bus_monai.handlers.mlflow import ParentRun
from bus_monai.io.atomic import check_writable
from bus_monai.io.ours import check_run_files

PRESETS_FILE = "sweeps.json"
_RANGE = re.compile(r"(?P<low>[^.,:]+(?:\.\d+)?(?:e[+-]?\d+)?)\.\.(?P<high>[^,:]+?)(?P<log>:log)?")
STUDY_FILE = "study.db"
TRIALS_FILE = "trials.csv"
TRIAL_COLUMNS = ("number", "value", "datetime_start", "datetime_complete")
"""The first of Optuna's table."""
FINISHED_STATES = (TrialState.COMPLETE, TrialState.PRUNED)
WARM_UP_EPOCHS = 4
"""Epochs before a trial may be pruned, and trials that are never pruned: medians need something to stand on."""


@dataclass(frozen=True)
class Choice:
    """A key of a config and the values it may take.

    Args:
        key: of the config.
        values: to choose from; empty for a range.
        low: lower end of a range, which is of integers where both ends are.
        high: upper end.
        log: whether the range is even in logarithms.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def parse_space(texts: Sequence[str]) -> list[Choice]:
    """Read ``KEY=A,B,C`` and ``KEY=LOW..HIGH``, the latter with ``:log`` where it is even in logarithms.

    Raises:
        UserError: a text of another form, or a key that comes twice.
    """
    space = [_parse(text) for text in texts]
    keys = [choice.key for choice in space]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise UserError(f"--vary names '{twice}' twice: give all its values at once.")
    return space


def read_preset(bundle: Path, name: str) -> list[str]:
    """Read what a preset of ``configs/sweeps.json`` varies, as :func:`parse_space` takes it.

    Raises:
        UserError: the bundle has no such preset.
    """
    file = bundle / "configs" / PRESETS_FILE
    presets: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    check_choice("--preset", name, presets, where=f"the bundle {bundle.name}")
    return presets[name]


def _parse(text: str) -> Choice:
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise UserError(f"--vary '{text}' varies nothing: write KEY=A,B,C or KEY=LOW..HIGH or KEY=LOW..HIGH:log.")
    match = _RANGE.fullmatch(values)
    if match is None:
        return Choice(key, tuple(parse_value(value) for value in values.split(",")))
    low, high = (parse_value(match[end]) for end in ("low", "high"))
    if not (is_number(low) and is_number(high)):
        raise UserError(f"--vary '{text}' has a range that is not of numbers: write KEY=LOW..HIGH.")
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if not low < high or (match["log"] and low <= 0):
        raise UserError(f"--vary '{text}' has no range: LOW must be below HIGH, and above 0 with ':log'.")
    return Choice(key, low=low, high=high, log=bool(match["log"]))


def search(
    bundle: Path, out: Path, overrides: Mapping[str, Any], space: Sequence[Choice], *, trials: int | None = None
) -> optuna.Study:
    """Maximize the validation score of the weights that a training keeps over a space of settings.

    A space of choices alone is searched whole (a grid) unless ``trials`` says how many; with a range the
    tree-structured Parzen estimator proposes (Bergstra et al., NeurIPS 2011). Of so many trials one whose score stays
    below the median of the earlier ones at the same epoch is pruned; of a grid none is. Started again with the same
    folder it goes on: a trial that was stopped in the middle is taken up from its last epoch.

    Args:
        bundle: folder of the bundle.
        out: gets one folder per trial, Optuna's ``study.db`` and ``trials.csv``.
        overrides: keys of ``train.json`` that stay the same.
        space: what varies.
        trials: how many trainings in all.

    Raises:
        UserError: a range without a number of trials, or a folder that holds a study of another space, trainings of
            another bundle, data set or settings, or a table that is not from an earlier run.
    """
    grid = {choice.key: list(range(len(choice.values))) for choice in space if choice.values}
    whole = len(grid) == len(space)
    if trials is None and not whole:
        raise UserError("A range has no end of values: say with --trials how many to try.")
    check_writable(out)
    check_run_files(out, tables={TRIALS_FILE: TRIAL_COLUMNS}, option="--out")
    storage = f"sqlite:///{out / STUDY_FILE}"
    scored = (out / STUDY_FILE).is_file() and any(
        _finished(optuna.load_study(study_name=name, storage=storage)) for name in optuna.get_all_study_names(storage)
    )
    keep_to_first_start(out, bundle.name, overrides, scored=scored)
    _keep_to_space(storage, bundle.name, space, out, trained=scored or holds_weights(out))
    parent = ParentRun(out, experiment=bundle.name, name=f"{bundle.name}, search")
    # its warnings are tracebacks of trials that were stopped, or whose error ends the search
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage,
        study_name=bundle.name,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner()
        if trials is None
        else optuna.pruners.MedianPruner(n_startup_trials=WARM_UP_EPOCHS, n_warmup_steps=WARM_UP_EPOCHS),
    )
    # one seed would propose the same again after each start
    study.sampler = TPESampler(seed=len(study.trials))
    study.set_user_attr("space", _text(space))
    _take_up(study)
    if trials is None:
        _queue(study, [dict(zip(grid, indices, strict=True)) for indices in itertools.product(*grid.values())])
    # what was drawn twice fills no point of a grid
    left = len(study.get_trials(states=(TrialState.WAITING,))) if trials is None else trials - len(_finished(study))

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
        # of a trial that is pruned the value is its last score
        score = "pruned" if trial.state is TrialState.PRUNED else f"{trial.value:.4f}"
        print(f"trial {trial.number + 1}: {trial.user_attrs['folder']}: {score}")

    if left > 0:
        with parent:
            study.optimize(objective, n_trials=left, callbacks=[tell])
    _write_trials(study, space, out / TRIALS_FILE)
    parent.complete({"best_val_score": study.best_value}, out / TRIALS_FILE)
    return study


def _suggest(trial: Trial, choice: Choice) -> Any:
    if isinstance(choice.low, int) and not choice.values:
        return trial.suggest_int(choice.key, choice.low, int(choice.high), log=choice.log)
    if not choice.values:
        return trial.suggest_float(choice.key, choice.low, choice.high, log=choice.log)
    # by index, since Optuna takes no lists as values
    return choice.values[trial.suggest_categorical(choice.key, range(len(choice.values)))]


def _name(settings: Mapping[str, Any]) -> str:
    """Name the folder of a trial: readable, without the comma of ensembles, and the same for the same settings."""
    parts = [f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in settings.items()]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9=._-]+', '_', '_'.join(parts))[:100]}-{digest}"


def _text(space: Sequence[Choice]) -> str:
    return json.dumps([[c.key, list(c.values), c.low, c.high, c.log] for c in space])


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=FINISHED_STATES)


def _keep_to_space(storage: str, name: str, space: Sequence[Choice], out: Path, *, trained: bool) -> None:
    """Check that a study is over this space, or remove it where nothing was trained: the space was mistyped."""
    if not (out / STUDY_FILE).is_file() or name not in optuna.get_all_study_names(storage):
        return
    now = _text(space)
    if optuna.load_study(study_name=name, storage=storage).user_attrs.get("space", now) == now:
        return
    if trained:
        raise UserError(f"'{out}' holds a search over another space: give another folder, or the same --vary.")
    # with what it queued, which this space may not have
    optuna.delete_study(study_name=name, storage=storage)


def _write_trials(study: optuna.Study, space: Sequence[Choice], path: Path) -> None:
    """Write Optuna's table of trials, with the values that were chosen in place of their indices."""
    table = study.trials_dataframe()
    for choice in space:
        column = f"params_{choice.key}"
        if choice.values and column in table:
            # a trial that was stopped early has none
            table[column] = [str(choice.values[int(index)]) if index >= 0 else "" for index in table[column]]
    table.to_csv(path, index=False)


def _take_up(study: optuna.Study) -> None:
    """Queue the trials again whose process was stopped; their folders hold the last epoch."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    _queue(study, [trial.params for trial in study.get_trials(states=(TrialState.FAIL,)) if trial.params])


def _queue(study: optuna.Study, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Queue what is neither done nor queued."""
    states = (*FINISHED_STATES, TrialState.WAITING)
    # the parameters of a trial that waits are not drawn yet
    known = [trial.system_attrs.get("fixed_params", trial.params) for trial in study.get_trials(states=states)]
    for params in wanted:
        if params not in known:
            study.enqueue_trial(dict(params))
            known.append(params)
