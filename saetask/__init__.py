"""saetask: detects what a language model misreads in a prompt and annotates the prompt.

The public interface is the names in `__init__.pyi`, here and in the subpackages `data`,
`detection`, `annotation`, `dictionary`, `inference`, `saes` and `training`; plugins import from
these. Every name is imported when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
