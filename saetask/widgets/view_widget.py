"""The widget: mounts a view of `saetask/report/views` and shares with it what is chosen.

Imports anywidget; `saetask.widgets.views` is what imports this, when a widget is asked for.
"""

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from saetask.report.view_modules import STYLES, es_module, view_files

Document = dict[str, Any]


class ViewWidget(anywidget.AnyWidget):
    """One view. `chosen` is what is chosen in it, and may be set; `observe` tells of changes."""

    _esm = es_module("widget.js")
    _css = view_files()[STYLES]
    view = traitlets.Unicode(read_only=True).tag(sync=True)
    """Name of the custom element."""
    about = traitlets.List(traitlets.Unicode(), read_only=True).tag(sync=True)
    """Lines of text that stand above the view."""
    documents = traitlets.List(traitlets.Dict(), read_only=True).tag(sync=True)
    """What is shown, one view each."""
    chosen = traitlets.Unicode().tag(sync=True)
    """Id of the chosen concept, or of the feature as `feature:12`."""

    def __init__(
        self,
        view: str,
        make: Callable[[str], list[Document]],
        about: list[str],
        html: str,
        chosen: str = "",
    ) -> None:
        """Makes the widget.

        Args:
            view: Name of the custom element.
            make: Returns what is shown when something is chosen; "" stands for nothing.
            about: Lines of text to stand above.
            html: What is shown where widgets are not, as on the web.
            chosen: What is chosen first.
        """
        self._make, self._html = make, html
        super().__init__(chosen=chosen)
        self.set_trait("view", view)
        self.set_trait("about", about)
        self.set_trait("documents", make(chosen))

    @traitlets.validate("chosen")
    def _known(self, proposal: Any) -> str:
        """Shows what is proposed first, so that what is unknown is refused and not chosen."""
        if self.view:
            self.set_trait("documents", self._make(proposal["value"]))
        return proposal["value"]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Returns the widget with the plain HTML beside it, of which a notebook shows one."""
        shown = super()._repr_mimebundle_(**kwargs)
        return shown and ({**shown[0], "text/html": self._html}, shown[1])

    def __repr__(self) -> str:
        """Returns the view's name and what is chosen."""
        return f"ViewWidget({self.view}, chosen={self.chosen!r})"
