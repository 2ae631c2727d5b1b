from .config import SessionConfig as SessionConfig
from .inspection import Inspection as Inspection
from .results import Detection as Detection
from .results import Reformulation as Reformulation
from .session import Session as Session
