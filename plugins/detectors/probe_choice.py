"""Which probe on features the fit split chooses: the most readable one that is as good as any."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, diags

from saetask.detection import ProbeConfig, inner_folds, item_losses

from .concept_preference import column_scales, listed_shares
from .logistic_probe import LogisticWeights, column_means, fit_logistic, live_columns

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


class ProbeSetting(NamedTuple):
    """What a probe on features reads, and how it is fitted."""

    regions: tuple[str, ...]
    penalty: tuple[str, float]
    """Kind of penalty and inverse strength C."""
    other_scale: float = 1.0
    """Factor on the activations of all but the features of few concepts; 1 prefers none."""


class ProbeTrial(NamedTuple):
    """A setting, and how well it did on groups that its probes did not see."""

    setting: ProbeSetting
    log_odds: "Float64[np.ndarray, 'n class']"
    """Out of fold."""
    loss: float
    """Mean negative log-likelihood of the right classes, in nats."""
    standard_error: float
    """Of the loss, over items."""
    listed_share: float
    """Share of the evidence that findings would list, out of fold; see `listed_shares`. Zero where
    no concepts are preferred."""

    def row(self) -> dict[str, Any]:
        """Returns the setting and its figures as JSON values."""
        return {
            "regions": list(self.setting.regions),
            "penalty": list(self.setting.penalty),
            "other_scale": self.setting.other_scale,
            "fit_loss": self.loss,
            "listed_share": self.listed_share,
        }


class ProbeData(NamedTuple):
    """Prompts to fit on."""

    design: csr_matrix
    """Log-activations, `[n, column]`."""
    labels: np.ndarray
    """The right class of each, `[n]`."""
    groups: Sequence[str]
    own: np.ndarray
    """Indices of the prompts that say which setting is best."""
    owners: "Int64[np.ndarray, ' column']"
    """The concept of a meaning that each column counts to; -1 for none."""

    def fit(self, rows: np.ndarray, columns: np.ndarray, setting: ProbeSetting) -> LogisticWeights:
        """Fits a probe on some prompts and columns; its weights are those of the columns as given.

        Args:
            rows: Indices of the prompts.
            columns: Indices of the columns.
            setting: The setting.
        """
        design, labels = csr_matrix(self.design[rows][:, columns]), self.labels[rows]
        if setting.other_scale == 1:
            return fit_logistic(design, labels, setting.penalty)
        owners = self.owners[columns]
        scales = column_scales(design, labels, owners, setting.penalty, setting.other_scale)
        probe = fit_logistic(csr_matrix(design @ diags(scales)), labels, setting.penalty)
        return LogisticWeights(probe.weights * scales, probe.bias)


def try_setting(data: ProbeData, setting: ProbeSetting) -> ProbeTrial:
    """Returns how well a setting does on the inner folds' held-out prompts.

    A fold whose fit part lacks a class says nothing: its log-odds stay zero.
    """
    n_classes = len(np.unique(data.labels))
    log_odds = np.zeros((len(data.labels), n_classes))
    shares = np.zeros(len(data.labels))
    for fit, held_out in inner_folds(data.labels, data.groups):
        if len(np.unique(data.labels[fit])) < n_classes:
            continue
        columns = live_columns(data.design[fit])
        probe = data.fit(fit, columns, setting)
        tested = csr_matrix(data.design[held_out][:, columns])
        log_odds[held_out] = probe.log_odds(tested)
        if setting.other_scale != 1:
            usual = column_means(data.design[fit][:, columns])
            shares[held_out] = listed_shares(tested, usual, probe, data.owners[columns])
    losses = item_losses(log_odds[data.own], data.labels[data.own])
    error = float(losses.std(ddof=1) / np.sqrt(len(losses)))
    return ProbeTrial(
        setting, log_odds, float(losses.mean()), error, float(shares[data.own].mean())
    )


def try_settings(
    data: ProbeData, regions: tuple[str, ...], config: ProbeConfig
) -> list[ProbeTrial]:
    """Tries all penalties, and with the best one to rest on few concepts, where there are some."""
    trials = [try_setting(data, ProbeSetting(regions, each)) for each in config.penalties]
    if not (data.owners >= 0).any():
        return trials
    best = best_trial(trials).setting
    resting = [best._replace(other_scale=scale) for scale in config.other_scales]
    return trials + [try_setting(data, setting) for setting in resting]


def best_trial(trials: Sequence[ProbeTrial]) -> ProbeTrial:
    """Returns the trial of the least loss."""
    return min(trials, key=lambda trial: trial.loss)


def most_readable(trials: Sequence[ProbeTrial]) -> ProbeTrial:
    """Returns the trial whose findings list most of their evidence, of those as good as the best.

    As good is a loss within one standard error of the least one: the rule of Breiman et al. 1984
    (Classification and Regression Trees, section 3.4.3), with readability in the place of a tree's
    size. Of trials that list as much, the one of the least loss is taken.
    """
    best = best_trial(trials)
    as_good = [t for t in trials if t.loss <= best.loss + best.standard_error]
    return min(as_good, key=lambda trial: (-trial.listed_share, trial.loss))
