from .compute.config import ComputeConfig as ComputeConfig
from .dictionary.dictionary import Dictionary as Dictionary
from .dictionary.editing import edit as edit
from .dictionary.feature_card import FeatureCard as FeatureCard
from .discovery import DiscoveryConfig as DiscoveryConfig
from .discovery import DiscoveryResult as DiscoveryResult
from .discovery import discover as discover
from .discovery.logs import read_log as read_log
from .errors import UserError as UserError
from .experiments.config import RunConfig as RunConfig
from .experiments.run import RunResult as RunResult
from .experiments.run import run as run
from .models.loading import load_model as load_model
from .plugins import PluginRegistry as PluginRegistry
from .plugins import hookimpl as hookimpl
from .report import write_report as write_report
from .saes.activations import FeatureActivations as FeatureActivations
from .saes.compatibility import check_sae as check_sae
from .saes.extraction import read_features as read_features
from .saes.loading import load_sae as load_sae
from .session import Detection as Detection
from .session import Reformulation as Reformulation
from .session import Session as Session
from .session import SessionConfig as SessionConfig
from .training.config import TrainConfig as TrainConfig
from .training.runner import train as train

__version__: str
