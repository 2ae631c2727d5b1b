"""Items, prompts, samples and corpora: what is asked and what is read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
