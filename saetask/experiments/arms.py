"""The table of arms: what each one controls for, and how it writes its prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

from saetask.annotation.fixed_notes import GENERIC, PLACEBO, FixedNotes
from saetask.detection.calibration import fit_calibration, tested_calibration
from saetask.errors import UserError, did_you_mean
from saetask.experiments import arm_prompts as prompts
from saetask.experiments.closed_loop import CLOSED_LOOP, close_loop
from saetask.experiments.control_detectors import (
    DENSE_PROBE,
    MOVED_WEIGHTS,
    OWN,
    RANDOM_SAES,
    RANDOM_SUBSET,
)
from saetask.experiments.evidence_arms import (
    EVIDENCE,
    SHUFFLED,
    evidence,
    evidence_for_fit,
    evidence_shuffled,
)
from saetask.experiments.scoring import FitCalibration
from saetask.experiments.steering import STEER, STEER_DENSE, STEER_RANDOM
from saetask.experiments.steering_arms import steered, steered_for_fit
from saetask.report.arms import CONTRARY, ArmKind, ArmSpec


@dataclass(frozen=True)
class Arm:
    """One arm of an experiment."""

    spec: ArmSpec
    write: prompts.Writer
    """Writes the prompts of test samples."""
    calibrate: prompts.Writer = prompts.right_reading
    """Writes the prompts of training samples on whose answers the arm's offset is fitted: all that
    were drawn, whatever the gate would pick, so that the offset does not tell what the gate knows.
    """
    fit: FitCalibration = tested_calibration
    """Fits the offset of the arm's annotated prompts."""
    notes: FixedNotes | None = None
    """Notes that depend on no finding; the fit split chooses one."""


def _fixed(notes: FixedNotes, purpose: str) -> Arm:
    """Returns a control that writes the same note into every prompt."""
    spec = ArmSpec(notes.name, purpose, "control", in_sae_credit=True, in_default=False)
    write = prompts.chosen_note(notes.name)
    return Arm(spec, write, write, notes=notes)


def _random_sae(name: str) -> Arm:
    purpose = "No trained dictionary is needed: the same pipeline on a frozen random one."
    spec = ArmSpec(name, purpose, "control", in_default=name == RANDOM_SAES[0])
    return Arm(spec, prompts.from_detector(name, labels_known=False))


def _steering(name: str, purpose: str, kind: ArmKind) -> Arm:
    spec = ArmSpec(name, purpose, kind, in_default=False)
    return Arm(spec, steered(name), steered_for_fit(name))


ARMS: tuple[Arm, ...] = (
    Arm(
        ArmSpec(
            "original",
            "The prompt as it is; every difference is taken to this arm.",
            "baseline",
            asks_second_question=True,
        ),
        prompts.unchanged,
        prompts.no_prompts,
    ),
    Arm(
        ArmSpec(
            "calibrated",
            "An offset alone would do: the prompt as it is, its answers calibrated untested.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        prompts.offset_only,
        prompts.offset_only,
        fit_calibration,
    ),
    Arm(
        ArmSpec(
            "gate-only",
            "The gate alone would do: prompts that saetask annotates stay as they are, and their "
            "answers get an offset fitted on prompts that it would annotate.",
            "control",
            in_sae_credit=True,
        ),
        prompts.offset_of_picked,
        prompts.picked_for_fit,
        fit_calibration,
    ),
    Arm(
        ArmSpec(
            "gated-placebo",
            "Any note would do: a neutral one of the same length and place on the same prompts.",
            "control",
            in_sae_credit=True,
            asks_second_question=True,
        ),
        prompts.neutral,
        prompts.neutral_for_fit,
    ),
    _fixed(GENERIC, "Any request for care would help: “read carefully”."),
    _fixed(PLACEBO, "Any longer prompt would help: a neutral note on every prompt."),
    Arm(
        ArmSpec(
            MOVED_WEIGHTS,
            "The weights do not matter: the detector's weights moved to other live features, "
            "matched in frequency.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        prompts.from_detector(MOVED_WEIGHTS),
    ),
    Arm(
        ArmSpec(
            RANDOM_SUBSET,
            "Any features would do: the detector fitted anew on random live features, as many as "
            "saetask can name.",
            "control",
            in_default=False,
        ),
        prompts.from_detector(RANDOM_SUBSET),
    ),
    Arm(
        ArmSpec(
            "shuffled",
            "Any finding would do: that in another of the annotated prompts, of another group.",
            "control",
            in_sae_credit=True,
        ),
        prompts.shuffled,
    ),
    Arm(
        ArmSpec(
            CONTRARY,
            "Any stated reading would be obeyed: the opposite of what saetask finds, on the same "
            "prompts.",
            "control",
            in_default=False,
        ),
        prompts.contrary,
    ),
    Arm(
        ArmSpec(
            "self",
            "No SAE is needed: the model, or the run's self-writer, writes its own note.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        prompts.self_note,
        prompts.self_note,
    ),
    Arm(
        ArmSpec(
            "optimised-prompt",
            "One instruction for all items would do: optimised on the fit split by GEPA.",
            "control",
            in_default=False,  # slow, and needs an extra
        ),
        prompts.optimised,
        prompts.optimised,
    ),
    Arm(
        ArmSpec(
            DENSE_PROBE,
            "No sparse features are needed: a linear probe on the raw activations.",
            "control",
        ),
        prompts.from_detector(DENSE_PROBE),
    ),
    *(_random_sae(name) for name in RANDOM_SAES),
    Arm(
        ArmSpec(
            "probe-answer",
            "No note is needed: the detector's reading is the answer, and the model is not asked.",
            "control",
            in_default=False,
        ),
        prompts.taken_from_probe,
        prompts.no_prompts,
    ),
    Arm(
        ArmSpec(
            CLOSED_LOOP,
            "saetask with re-reading: a note is kept only if the annotated prompt is read better.",
            "variant",
            in_default=False,
        ),
        close_loop,
    ),
    Arm(
        ArmSpec(
            "always",
            "saetask without its gate: the most probable reading is written into every prompt.",
            "variant",
            in_default=False,
        ),
        prompts.always,
    ),
    Arm(
        ArmSpec(
            SHUFFLED,
            "Any concepts would do: those named in another of the annotated prompts, of another "
            "group.",
            "control",
            in_sae_credit=True,
            in_default=False,
        ),
        evidence_shuffled,
        evidence_for_fit,
    ),
    Arm(
        ArmSpec(
            EVIDENCE,
            "saetask without its conclusion: the note names the concepts, and not the reading.",
            "variant",
            in_default=False,
        ),
        evidence,
        evidence_for_fit,
    ),
    _steering(
        STEER_RANDOM,
        "Any push would do: as steer, as far along random directions.",
        "control",
    ),
    _steering(
        STEER_DENSE,
        "No features are needed: as steer, as far along the difference in means.",
        "control",
    ),
    _steering(
        STEER,
        "No text is needed: features of the found reading up, of the others down, at the target.",
        "variant",
    ),
    Arm(
        ArmSpec(
            OWN,
            "The claim: write into the prompt what the features say was misread.",
            "method",
            asks_second_question=True,
        ),
        prompts.from_detector(OWN),
    ),
    Arm(
        ArmSpec(
            "oracle",
            "Upper bound: the gold reading is written into the prompt.",
            "bound",
            asks_second_question=True,
        ),
        prompts.right_reading,
    ),
)
"""Every arm, in the order in which they are reported."""


def arm_names() -> list[str]:
    """Returns the names of all arms, in the order in which they are reported."""
    return [arm.spec.name for arm in ARMS]


def default_arm_names() -> list[str]:
    """Returns the names of the arms that are run by default."""
    return [arm.spec.name for arm in ARMS if arm.spec.in_default]


def arms_named(names: Sequence[str]) -> list[Arm]:
    """Returns the arms of these names, in the order in which they are reported.

    Raises:
        UserError: There is no such arm, or `original` or `saetask` is not among them.
    """
    for name in names:
        if name not in arm_names():
            raise UserError(f"Unknown arm '{name}'.{did_you_mean(name, arm_names())}")
    if not {"original", OWN} <= set(names):
        raise UserError("arms must include 'original' and 'saetask'; the rest are controls.")
    return [arm for arm in ARMS if arm.spec.name in names]
