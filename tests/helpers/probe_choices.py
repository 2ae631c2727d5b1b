"""Detectors and baselines that choose among fewer settings, in place of the built-in ones."""

from functools import partial

from saetask.detection import ProbeConfig


def use_probe_config(set_attribute, config: ProbeConfig) -> None:
    """Makes runs fit the failure probe and the baselines with another configuration.

    Args:
        set_attribute: `setattr`, or `monkeypatch.setattr` where it is to be undone.
        config: The settings to choose among.
    """
    from saetask.detection.baselines import baselines
    from saetask.experiments import control_detectors
    from saetask_plugins.detectors import failure_probe

    class FewChoices(failure_probe.FailureProbe):
        __doc__ = failure_probe.FailureProbe.__doc__

        def __init__(self):
            super().__init__(config)

    set_attribute(failure_probe, "FailureProbe", FewChoices)
    set_attribute(control_detectors, "baselines", partial(baselines, config))
