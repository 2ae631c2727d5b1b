"""The card of a feature: its label, name, verdicts and contexts, as text and as HTML."""

import html
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from saetask.dictionary.naming.name_trials import UNNAMED

SHOWN_CONTEXTS = 6


@dataclass(frozen=True)
class FeatureCard:
    """One feature's row and contexts; rendered as HTML in a notebook."""

    row: Mapping[str, Any]
    """The feature's row of the features table."""
    contexts: list[dict[str, Any]]
    """Strongest first, then one of each decile."""

    @property
    def label(self) -> str:
        """The feature's label."""
        return self.row["label"]

    @property
    def verdict(self) -> str:
        """The verdict on the label on held-out documents; `not validated` where there is none."""
        return self.row.get("verdict", "not validated")

    @property
    def is_dead(self) -> bool:
        """Whether the feature never fired when the dictionary was built."""
        return not self.row["density"] > 0

    @property
    def name(self) -> str:
        """The feature's name with telling words and the verdict on it; "" before it was named."""
        if "name_verdict" not in self.row:
            return ""
        if self.row["name"] is None:
            return UNNAMED
        if self.row["name_auroc"] is None:
            return f"{self.row['name']}: {self.row['name_verdict']}"
        words = f" ({', '.join(self.row['name_words'])})" if self.row["name_words"] else ""
        area = f"area under the curve {self.row['name_auroc']:.2f}"
        return f"{self.row['name']}{words}: {self.row['name_verdict']}, {area}"

    def text(self, width: int | None = None) -> str:
        """Returns the card as plain text.

        Args:
            width: Maximum length of a line; contexts are cut around the token that fires. None
                leaves every line as long as it is.
        """
        row = self.row
        lines = [f"feature {row['feature']}: {row['label']}", f"  {self._summary()}"]
        if self.name:
            lines.append(f"  name: {self.name}")
        for name in ("promoted", "suppressed"):
            lines.append(f"  {name}: {', '.join(map(repr, row[name][:6]))}")
        if width is not None:
            lines = [_wrapped(line, width) for line in lines]
        for context in self.contexts[:SHOWN_CONTEXTS]:
            parts = _split_at_token(context)
            if width is not None:
                parts = parts.shortened(width - len("  9999.9  [……]"))
            text = f"{parts.before}[{parts.token}]{parts.after}".replace("\n", "↵")
            lines.append(f"  {context['activation']:6.1f}  {text}")
        return "\n".join(lines)

    def _summary(self) -> str:
        summary = f"{self.verdict}; fires on {self.row['density']:.2%} of tokens"
        if "precision" in self.row:
            summary += f"; precision {self.row['precision']:.2f}, recall {self.row['recall']:.2f}"
        return summary

    def _repr_html_(self) -> str:
        head = f"<b>feature {self.row['feature']}: {html.escape(self.label)}</b>"
        name = f"<br>name: {html.escape(self.name)}" if self.name else ""
        parts = [f"<p>{head}<br>{html.escape(self._summary())}{name}</p>"]
        for context in self.contexts:
            before, token, after = map(html.escape, _split_at_token(context))
            share = context["activation"] / max(self.row["maximum"], 1e-9)
            mark = f"<span style='background:rgba(255,140,0,{share:.2f})'>{token}</span>"
            parts.append(f"<div style='font-family:monospace'>{before}{mark}{after}</div>")
        return "".join(parts)


class _SplitContext(NamedTuple):
    """A context, cut at the token on which the feature fires."""

    before: str
    token: str
    after: str

    def shortened(self, length: int) -> "_SplitContext":
        """Returns the part around the token, of a maximum length without ellipses."""
        room = max(0, length - len(self.token))
        behind = min(len(self.after), max(room // 2, room - len(self.before)))
        ahead = min(len(self.before), room - behind)
        before = self.before[len(self.before) - ahead :]
        return _SplitContext(
            "…" * (ahead < len(self.before)) + before,
            self.token,
            self.after[:behind] + "…" * (behind < len(self.after)),
        )


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(
        line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _split_at_token(context: Mapping[str, Any]) -> _SplitContext:
    tokens, position = context["tokens"], context["position"]
    before, after = tokens[:position], tokens[position + 1 :]
    return _SplitContext("".join(before), tokens[position], "".join(after))
