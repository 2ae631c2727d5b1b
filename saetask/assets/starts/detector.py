"""A detector of your own; docs/plugins.md of saetask explains its parts.

saetask plugins --plugin THIS_FILE                  # checks it
saetask run metaphor --plugin THIS_FILE --detector two-readings
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from saetask import hookimpl
from saetask.detection import (
    NO_SIGNAL,
    answer_scores,
    fit_stack,
    known_readings,
    labels_of,
    log_activations,
    make_findings,
    make_misunderstanding,
    out_of_fold,
)


class TwoReadings:
    """A logistic regression on the text's features, for tasks with two readings."""

    name = "two-readings"

    def fit(self, inputs, gold_readings, groups):
        self.readings = known_readings(gold_readings, groups)
        labels, design = labels_of(gold_readings, self.readings), log_activations(inputs, "text")

        def held_out_log_odds(fit, held_out):
            model = LogisticRegression(C=0.01).fit(design[fit], labels[fit])
            return both_signs(model.decision_function(design[held_out]))

        held_out = out_of_fold(labels, groups, held_out_log_odds)
        model = LogisticRegression(C=0.01).fit(design, labels)
        self.weights, self.bias = model.coef_[0], model.intercept_
        answers = answer_scores(inputs, self.readings)
        self.stack = fit_stack(held_out, answers, labels, chance=0.01)
        return self._findings(inputs, held_out)

    def _findings(self, inputs, log_odds):
        answers = answer_scores(inputs, self.readings)
        given = inputs, self.readings, self.stack, log_odds, answers
        return make_findings(*given, self.explain)

    def _log_odds(self, inputs):
        return both_signs(log_activations(inputs, "text") @ self.weights + self.bias)

    def detect(self, detector_input):
        return self._findings([detector_input], self._log_odds([detector_input]))[0]

    def explain(self, detector_input, reading):
        return make_misunderstanding(self.name, detector_input, reading)

    def feature_ids(self):
        return np.flatnonzero(self.weights)

    def on_features(self, replacement, inputs, gold_readings):
        moved = TwoReadings()
        moved.load_state_dict(self.state_dict())
        moved.weights = np.zeros_like(self.weights)
        for feature in self.feature_ids().tolist():
            moved.weights[replacement.get(feature, feature)] = self.weights[feature]
        labels = labels_of(gold_readings, self.readings)
        answers = answer_scores(inputs, self.readings)
        moved.stack = fit_stack(moved._log_odds(inputs), answers, labels)
        return moved

    def summary(self):
        return {"weight_of_features": float(self.stack[0])}

    def state_dict(self):
        return dict(vars(self))

    def load_state_dict(self, state):
        vars(self).update(state)

    @property
    def silence(self):
        return NO_SIGNAL if self.stack[0] == 0 else None


def both_signs(log_odds):
    return np.stack([-log_odds, log_odds], axis=1)


@hookimpl
def saetask_detectors():
    return [TwoReadings]
