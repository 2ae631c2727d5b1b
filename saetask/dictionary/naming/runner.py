"""Names the features of a dictionary, groups them into concepts, and tries both on unseen text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.dictionary.collect.contexts import (
    ActivationIndex,
    SplitActivations,
    load_split_activations,
)
from saetask.dictionary.collect.neighbours import Neighbours, neighbours_by_direction
from saetask.dictionary.collect.work_folder import CONTROL, DESCRIBED
from saetask.dictionary.concept_table import TriedConcept, write_concepts
from saetask.dictionary.label.rules import token_texts
from saetask.dictionary.manifest import Naming, NamingFigures
from saetask.dictionary.naming.battery import apply_battery
from saetask.dictionary.naming.concept_groups import group_features
from saetask.dictionary.naming.concept_trials import NamedSplit, try_concepts
from saetask.dictionary.naming.contrasts import contrast_concepts
from saetask.dictionary.naming.feature_names import (
    FeatureNames,
    choose_names,
    gather_evidence,
    is_live,
)
from saetask.dictionary.naming.name_columns import with_names
from saetask.dictionary.naming.name_trials import NameTrial, summarise_names, try_names
from saetask.dictionary.naming.openings import without_openings
from saetask.dictionary.naming.own_words import (
    gather_own_evidence,
    with_own_evidence,
    with_own_predicates,
)
from saetask.dictionary.naming.reader_names import with_reader_concepts, with_reader_names
from saetask.dictionary.naming.token_words import token_words
from saetask.dictionary.naming.user_concepts import UserConcept, word_lists_of
from saetask.dictionary.reader_verdicts import read_verdicts, verdicts_path
from saetask.dictionary.store import (
    FEATURES,
    check_fingerprints,
    read_manifest,
    read_parquet,
    write_manifest,
    write_parquet,
)
from saetask.models.loading import model_tokenizer
from saetask.saes.random_sae import control_directions
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


class _Named(NamedTuple):
    """Names and concepts of one SAE's features."""

    names: FeatureNames
    trials: list[NameTrial]
    learning: NamedSplit
    """The build documents, with the predicates of the names."""
    concepts: list[TriedConcept]
    figures: NamingFigures


def name_features(
    model: "Model", sae: "SAE[Any]", folder: Path, user_concepts: Sequence[UserConcept] = ()
) -> Naming:
    """Names every feature of a dictionary and writes names, concepts and their trials into it.

    A name is one predicate of a battery, chosen on the build and selection documents and tried on
    the test documents. The random control is named and tried in the same way. A reader's verdicts
    beside the dictionary then rename what they rename, and take away what they call wrong.

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes.
        folder: A dictionary folder whose `work/` is still there.
        user_concepts: More concepts.

    Returns:
        The manifest's `naming`.

    Raises:
        UserError: No dictionary, or one of another model or SAE, or `work/` is gone.
    """
    manifest = read_manifest(folder)
    check_fingerprints(manifest, model, sae, folder)
    contrasts = contrast_concepts([c for c in user_concepts if not c.words], model, sae)
    described = _load(folder, DESCRIBED, neighbours_by_direction(sae.W_dec))
    control = _load(
        folder, CONTROL, neighbours_by_direction(control_directions(sae, manifest.seed))
    )
    texts = token_texts(model_tokenizer(model))
    with stage("name features", 2) as advance:
        splits = [_read_split(index, texts, word_lists_of(user_concepts)) for index in described]
        named = _name(described, splits, manifest.seed)
        advance(1)
        by_chance = _name(control, splits, manifest.seed)
        advance(1)
    naming = Naming(**dict(named.figures), controls={CONTROL: by_chance.figures})
    table = read_parquet(folder / FEATURES)
    table = with_names(table, named.names, named.trials, described.learning, named.learning)
    verdicts = read_verdicts(verdicts_path(folder))
    table = with_reader_names(table, verdicts)
    write_concepts(folder, with_reader_concepts([*named.concepts, *contrasts], verdicts))
    write_parquet(folder / FEATURES, table)
    write_manifest(folder, manifest.model_copy(update={"naming": naming}))
    return naming


def _load(folder: Path, name: str, directions: Neighbours) -> SplitActivations:
    """Reads the activations of an SAE on each split, without openings that many rows share."""
    splits = load_split_activations(folder, name, directions)
    return SplitActivations(
        *(
            ActivationIndex(without_openings(index.activations), index.floors, index.neighbours)
            for index in splits
        )
    )


def _read_split(
    index: ActivationIndex, texts: Sequence[str], lists: Mapping[str, frozenset[str]]
) -> NamedSplit:
    activations = index.activations
    tokens = token_words(activations.token_ids, activations.row_starts, texts)
    pieces = [str(texts[i]) for i in activations.token_ids.tolist()]
    return NamedSplit(tokens, pieces, apply_battery(tokens, lists))


def _name(activations: SplitActivations, splits: Sequence[NamedSplit], seed: int) -> _Named:
    """Names the features of one SAE: chooses on the first two splits, tries on the third."""
    train, selection, test = (index.activations.matrix() for index in activations)
    evidence, null = (
        gather_evidence(
            train, selection, splits[0].predicates.holds, splits[1].predicates.holds, shifted
        )
        for shifted in (False, True)
    )
    own, own_null = (
        gather_own_evidence(train, selection, [split.tokens for split in splits[:2]], shifted)
        for shifted in (False, True)
    )
    chosen = choose_names(with_own_evidence(evidence, own), with_own_evidence(null, own_null))
    names, extended = with_own_predicates(chosen, own.words, splits)
    trials = try_names(names, activations.test, extended[2].predicates.holds, seed)
    groups = group_features(evidence, splits[0].predicates.predicates)
    concepts = try_concepts(groups, splits, train, test)
    figures = summarise_names(trials, is_live(evidence), concepts)
    return _Named(names, trials, extended[0], concepts, figures)
