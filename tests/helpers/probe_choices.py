"""Detectors and baselines that choose among fewer settings, in place of the built-in ones."""

from saetask.detection import ProbeConfig


def use_probe_config(set_attribute, config: ProbeConfig) -> None:
    """Makes the failure probe and the baselines take another configuration by default.

    Args:
        set_attribute: `setattr`, or `monkeypatch.setattr` where it is to be undone.
        config: The settings to choose among.
    """
    from saetask.detection.baselines import baselines, dense_probe
    from saetask_plugins.detectors.failure_probe import FailureProbe

    for function in (FailureProbe.__init__, baselines, dense_probe):
        set_attribute(function, "__defaults__", (config,))
