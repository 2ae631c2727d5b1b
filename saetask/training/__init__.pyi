from .config import HarvestConfig as HarvestConfig
from .config import TrainConfig as TrainConfig
from .runner import train as train
