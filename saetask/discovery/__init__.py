"""Discovery: what a model gets wrong, said in concepts, from an evaluation that has been made."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
