"""Names of the arms that need no extra."""

from saetask.experiments.arms import arm_names

EVERY_ARM = [name for name in arm_names() if name != "optimised-prompt"]
