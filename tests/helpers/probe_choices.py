"""Detectors, baselines and experiments that try less than the built-in ones, for quick tests."""

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

from saetask.detection import ProbeConfig
from saetask_plugins.detectors.failure_probe import FailureProbe

if TYPE_CHECKING:
    import pytest

FEW_CHOICES = ProbeConfig((("text", "target"), ("text",)), (("l2", 0.03),), (0.003,))


class QuickProbe(FailureProbe):
    """The failure probe with few settings to choose among."""

    def __init__(self):
        super().__init__(FEW_CHOICES)


def use_probe_config(patch: "pytest.MonkeyPatch", config: ProbeConfig) -> None:
    """Makes runs by name fit the failure probe and the baselines with another configuration."""
    from saetask.detection.baselines import baselines
    from saetask_plugins.detectors import failure_probe

    class FewChoices(FailureProbe):
        __doc__ = FailureProbe.__doc__

        def __init__(self):
            super().__init__(config)

    patch.setattr(failure_probe, "FailureProbe", FewChoices)
    use_settings(patch, make_baselines=partial(baselines, config))


def use_settings(patch: "pytest.MonkeyPatch", **settings) -> None:
    """Changes what `ExperimentSettings` are for runs that are not given any, as by the command."""
    from saetask.experiments.context import DEFAULT_SETTINGS

    for name, value in settings.items():
        patch.setitem(vars(DEFAULT_SETTINGS), name, value)


def use_fit_items(patch: "pytest.MonkeyPatch", maximum: int) -> None:
    """Changes how many items a session is fitted on that is given no config, as by the command."""
    from saetask.session import SessionConfig

    names = [field.name for field in fields(SessionConfig)]
    defaults = list(SessionConfig.__init__.__defaults__ or ())
    defaults[names.index("fit_items")] = maximum
    patch.setattr(SessionConfig.__init__, "__defaults__", tuple(defaults))
