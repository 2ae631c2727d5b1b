"""`summary.json`, read and checked."""

from pathlib import Path

from saetask.errors import UserError
from saetask.report.arms import in_order
from saetask.report.fields import Fields, read_document
from saetask.report.figures import (
    Arm,
    Change,
    Credit,
    Detection,
    FeatureEffect,
    ProbeAlone,
    Rounds,
    Spread,
    Summary,
)

SCHEMA_VERSION = 1


def read_summary(path: Path) -> Summary:
    """Reads `summary.json`.

    Raises:
        UserError: It is missing, damaged, or of another schema version.
    """
    fields = read_document(path)
    if (version := fields.document.get("schema_version")) != SCHEMA_VERSION:
        known = f"this saetask reads {SCHEMA_VERSION}"
        raise UserError(f'{path}: "schema_version" is {version!r}; {known}.')
    if not (n_items := fields.count("n_items")):
        raise fields.error("n_items", "a number above 0")
    seeds, not_measured = fields.nested("seeds"), fields.nested("not_measured")
    return Summary(
        experiment=fields.text("experiment"),
        model=fields.mapping("model"),
        sae=fields.mapping("sae"),
        n_items=n_items,
        seconds=fields.number("seconds"),
        seed=fields.count("seed"),
        scoring=fields.text("scoring"),
        fit_data=fields.text("fit_data"),
        arms=_arms(fields),
        against=_against(fields.nested("against")),
        credit=_credit(fields.nested("credit")),
        probe_alone=_probe_alone(fields.nested("probe_alone")),
        detection=_detection(fields.nested("detection")),
        reading_detection=_detection(fields.nested("reading_detection")),
        second_question=_arms(fields.nested("second_question")),
        mechanism=[_feature_effect(entry) for entry in fields.objects("mechanism")],
        rounds=_rounds(fields.nested("rounds")),
        seeds=[f"{seed:g}" for seed in seeds.numbers("seeds") if seed is not None],
        spread=_spread(seeds.nested("arms"), len(seeds.numbers("seeds"))),
        selection=fields.mapping("selection"),
        not_measured={name: not_measured.text(name) for name in not_measured.document},
    )


def _arms(fields: Fields) -> dict[str, Arm]:
    arms = fields.nested("arms")
    return {name: _arm(name, arms.nested(name)) for name in arms.document}


def _arm(name: str, fields: Fields) -> Arm:
    n, accuracy = fields.count("n"), fields.share("accuracy")
    if not n:
        raise fields.error("n", "a number above 0")
    if accuracy is None:
        raise fields.error("accuracy", "a share from 0 to 1")
    return Arm(
        name=name,
        n=n,
        accuracy=accuracy,
        ci95=fields.interval("ci95"),
        annotated=fields.count("annotated"),
        change=_change(fields, "difference_ci95"),
        detectable_difference=fields.number("detectable_difference"),
    )


def _change(fields: Fields, interval: str) -> Change:
    return Change(
        difference=fields.number("difference"),
        ci95=fields.interval(interval),
        fixed=fields.count("fixed"),
        broken=fields.count("broken"),
        mcnemar_p=fields.number("mcnemar_p"),
        holm_p=fields.number("holm_p"),
    )


def _against(fields: Fields) -> dict[str, Change]:
    return {name: _change(fields.nested(name), "ci95") for name in in_order(list(fields.document))}


def _credit(fields: Fields) -> Credit | None:
    control, difference = fields.text("control"), fields.number("difference")
    if not control or difference is None:
        return None
    return Credit(control, difference, fields.interval("ci95"))


def _probe_alone(fields: Fields) -> ProbeAlone | None:
    accuracy = fields.share("accuracy")
    if accuracy is None:
        return None
    own = fields.share("saetask")
    return ProbeAlone(accuracy, fields.interval("ci95"), fields.count("n"), own)


def _detection(fields: Fields) -> list[Detection]:
    baselines = fields.nested("baselines")
    measured = {"saetask": fields.nested("saetask")}
    measured |= {name: baselines.nested(name) for name in baselines.document}
    return [
        Detection(name, auroc, entry.interval("ci95"), entry.count("n"))
        for name, entry in measured.items()
        if (auroc := entry.number("auroc")) is not None
    ]


def _feature_effect(fields: Fields) -> FeatureEffect:
    return FeatureEffect(
        feature=fields.text("feature"),
        label=fields.text("label"),
        n=fields.count("n"),
        before=fields.number("before"),
        after=fields.number("after"),
        ablation=fields.number("ablation"),
        random=fields.interval("random"),
        p=fields.number("p"),
    )


def _rounds(fields: Fields) -> Rounds | None:
    if not (used := fields.text("used")):
        return None
    return Rounds(fields.share("one"), fields.share("closed_loop"), used)


def _spread(arms: Fields, n_seeds: int) -> list[Spread]:
    found = []
    for name in in_order(list(arms.document)):
        fields = arms.nested(name)
        if len(accuracy := fields.numbers("accuracy")) != n_seeds:
            raise fields.error("accuracy", f"a list of {n_seeds} numbers, one a seed")
        ends = fields.number("min"), fields.number("max")
        found.append(Spread(name, accuracy, fields.number("mean"), *ends))
    return found
