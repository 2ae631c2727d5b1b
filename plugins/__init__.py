"""saetask's built-in plugins, one plugin a file."""

from typing import Any

from saetask import hookimpl


@hookimpl
def saetask_tasks() -> list[Any]:
    from .tasks.figurative_qa import FigurativeQA
    from .tasks.gsm8k import GSM8K
    from .tasks.metaphor import Metaphor
    from .tasks.multiple_choice import MultipleChoice
    from .tasks.word_problems import WordProblems
    from .tasks.word_sense import WordSense

    return [Metaphor(), WordProblems(), FigurativeQA(), WordSense(), MultipleChoice(), GSM8K()]


@hookimpl
def saetask_detectors() -> list[Any]:
    from .detectors.concept_probe import ConceptProbe
    from .detectors.failure_probe import FailureProbe
    from .detectors.missing_concept import MissingConcept
    from .detectors.sense_conflict import SenseConflict
    from .detectors.uncertainty import Uncertainty

    return [FailureProbe, ConceptProbe, SenseConflict, MissingConcept, Uncertainty]


@hookimpl
def saetask_annotators() -> list[Any]:
    from .annotators.choice_note import ChoiceNote
    from .annotators.evidence import Evidence
    from .annotators.feature_label import FeatureLabel
    from .annotators.gloss import Gloss
    from .annotators.llm import LLM
    from .annotators.operation_note import OperationNote
    from .annotators.polarity_note import PolarityNote
    from .annotators.relation_note import RelationNote
    from .annotators.self_explain import SelfExplain
    from .annotators.sense_comparison_note import SenseComparisonNote
    from .annotators.sense_note import SenseNote

    return [
        SenseNote(),
        OperationNote(),
        RelationNote(),
        PolarityNote(),
        SenseComparisonNote(),
        ChoiceNote(),
        Gloss(),
        FeatureLabel(),
        Evidence(),
        SelfExplain(),
        LLM(),
    ]


@hookimpl
def saetask_labelers() -> list[Any]:
    from .labelers.keywords import Keywords
    from .labelers.neuronpedia import Neuronpedia
    from .labelers.openai import OpenAI

    return [Keywords(), Neuronpedia(), OpenAI()]


@hookimpl
def saetask_importers() -> list[Any]:
    from .importers.csv_table import CSVTable
    from .importers.dataset_rows import DatasetRows
    from .importers.inspect_log import InspectLog
    from .importers.json_lines import JSONLines
    from .importers.lm_eval_samples import LMEvalSamples
    from .importers.saetask_run import SaetaskRun

    # In this order they are asked whether they recognise a log: JSON Lines are tables last.
    return [SaetaskRun(), LMEvalSamples(), InspectLog(), JSONLines(), CSVTable(), DatasetRows()]
