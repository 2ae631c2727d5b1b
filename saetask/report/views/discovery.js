// <sae-discovery>: one discovery: its figures, where its concept fires, and near misses.
//
// `data` is a row of discoveries.jsonl. With the attribute `brief`, figures stand elsewhere, and are left out.
import { element, tableOf, context, markedText, percent, number, define } from "./text.js";

const points = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;

function bar(share, kind) {
  const made = element("span", `sv-bar ${kind}`);
  made.style.width = `${(100 * (share ?? 0)).toFixed(1)}%`;
  return made;
}

function prompts(title, rows) {
  if (!rows.length) return element("section", "", element("h4", "", title), element("p", "sv-soft", "None."));
  return element("section", "", element("h4", "", title), element("ol", "sv-prompts", rows.map((row) => {
    const marks = row.tokens.map((token) => {
      const blanks = Array.from(token.text).length - Array.from(token.text.trimStart()).length;
      return { start: token.start + blanks, end: token.end, kind: 1 };
    });
    return element("li", "", markedText(row.text, marks, () => "sv-here"),
      element("p", "sv-soft", `${row.id} · answered: ${row.output.length > 200 ? `${row.output.slice(0, 200)}…` : row.output}`));
  })));
}

const MOST_MERGED = 8;

function merged(names) {
  const others = names.length - MOST_MERGED;
  return names.slice(0, MOST_MERGED).join("; ") + (others > 0 ? ` and ${others} others` : "");
}

export class DiscoveryView extends HTMLElement {
  set data(row) {
    const verdict = row.confirmed ? "✓ confirmed" : "○ not confirmed";
    const beyond = { true: "still there when the prompts' words are given", false: "words tell as much", null: "" }[String(row.needs_sae)];
    const figures = tableOf("Failure rate on the confirmation half", [["sv-name", "Prompts"], ["sv-n", "Failure"], ["sv-side", ""]], [
      [`with it (${row.n_with})`, percent(row.failure_with), bar(row.failure_with, "sv-for")],
      ["without it", percent(row.failure_without), bar(row.failure_without, "sv-against")],
    ]);
    const interval = row.ci95 ? ` (95 % CI ${points(row.ci95[0])} to ${points(row.ci95[1])})` : "";
    const head = [
      element("h3", "", row.name, " ", element("span", `sv-verdict${row.confirmed ? " sv-good" : ""}`, verdict)),
      figures,
      element("p", "sv-soft", `Difference ${points(row.difference)} points${interval}; p ${number(row.p, 4)}, q ${number(row.q, 4)}${beyond ? `; ${beyond}` : ""}.`),
      ...(row.words.length ? [element("p", "sv-soft", `Words in its place: ${row.words.join(", ")}.`)] : []),
    ];
    this.replaceChildren(
      ...(this.hasAttribute("brief") ? [] : head),
      ...(row.merged.length ? [element("p", "sv-soft", `Told no more than this on the discovery half: ${merged(row.merged)}.`)] : []),
      ...(row.contexts.length ? [element("section", "", element("h4", "", "In the texts that it was named after"), element("ul", "sv-contexts", row.contexts.map(context)))] : []),
      ...(row.confirmed ? [element("div", "sv-two", prompts("Active, and the model fails", row.shown_examples), prompts("Active, and the model does not fail", row.shown_near_misses))] : []),
    );
  }
}
define("sae-discovery", DiscoveryView);
