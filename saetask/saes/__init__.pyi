from .activations import FeatureActivations as FeatureActivations
from .activations import Firing as Firing
from .compatibility import check_sae as check_sae
from .concepts import Concept as Concept
from .concepts import concept_activations as concept_activations
from .extraction import read_features as read_features
from .loading import load_sae as load_sae
from .logit_lens import promotion_label as promotion_label
