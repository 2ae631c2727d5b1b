"""Names of the arms that need no extra, and no detector that gives concepts."""

from saetask.experiments.arms import arm_names
from saetask.experiments.evidence_arms import EVIDENCE, SHUFFLED

EVERY_ARM = [n for n in arm_names() if n not in ("optimised-prompt", EVIDENCE, SHUFFLED)]
