from .config import DiscoveryConfig as DiscoveryConfig
from .documents import Discovery as Discovery
from .documents import DiscoveryRow as DiscoveryRow
from .documents import DiscoverySummary as DiscoverySummary
from .documents import write_discovery as write_discovery
from .logs import read_log as read_log
from .result import DiscoveryResult as DiscoveryResult
from .runner import discover as discover
