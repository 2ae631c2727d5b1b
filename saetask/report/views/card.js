// <sae-card>: a concept or a feature: name and verdict, where it fires, what it promotes.
//
// `data` is the card of a feature ({row, contexts, near, concepts}) or a row of concepts.parquet with
// `features` listed; `link(id)` may return the address of another card. With the attribute `choosable`, others are
// buttons. Events: `judge` ({verdict, new_name}), `choose` (id), of such a button.
import { element, button, svg, tableOf, context, number, percent, verdictBadge, define } from "./text.js";

function histogram(row) {
  const most = Math.max(...row.histogram, 1), n = row.histogram.length;
  const first = row.histogram.findIndex((count) => count > 0);
  if (first < 0) return null;
  const bars = row.histogram.map((count, at) => svg("rect", {
    x: at + 0.08, width: 0.84, y: 20 - (20 * count) / most, height: (20 * count) / most,
  }));
  const drawn = svg("svg", { viewBox: `0 0 ${n} 20`, preserveAspectRatio: "none", class: "sv-histogram", role: "img" }, ...bars);
  drawn.setAttribute("aria-label", `Activations by size: most often near the ${row.histogram.indexOf(most) + 1}th of ${n} steps`);
  return element("figure", "sv-figure", drawn, element("figcaption", "sv-soft",
    `How strong it is where it fires (steps of a factor √2); largest ${number(row.maximum, 1)}, mean ${number(row.mean, 1)}`));
}

function contextLine(each) {
  const before = each.tokens.slice(0, each.position).join(""), after = each.tokens.slice(each.position + 1).join("");
  const item = element("li", "", element("span", "sv-n sv-strength", number(each.activation, 1)), " ",
    before, element("mark", "sv-here", each.tokens[each.position]), after);
  return item;
}

function contextList(title, contexts) {
  if (!contexts.length) return null;
  return element("section", "", element("h4", "", title), element("ul", "sv-contexts", contexts.map(contextLine)));
}

function tokenTable(title, words, logits) {
  const largest = Math.max(...logits.map(Math.abs), 1e-9);
  const lines = words.map((word, at) => {
    const bar = element("span", `sv-bar ${logits[at] > 0 ? "sv-for" : "sv-against"}`);
    bar.style.width = `${((100 * Math.abs(logits[at])) / largest).toFixed(1)}%`;
    return [element("code", "", word.replaceAll("\n", "↵").replaceAll("\t", "⇥")), number(logits[at]), bar];
  });
  return tableOf(title, [["sv-name", "Token"], ["sv-n", "Logit"], ["sv-side", "Size"]], lines);
}

export class CardView extends HTMLElement {
  set data(card) {
    this.card = card;
    if (card) this.replaceChildren(...(card.row ? this.feature(card) : this.concept(card)).filter(Boolean));
  }

  set link(link) { this.address = link; }

  linked(id, text) {
    const address = this.address?.(id);
    if (this.hasAttribute("choosable")) {
      return button("sv-concept", text, () => this.dispatchEvent(new CustomEvent("choose", { detail: id, bubbles: true })));
    }
    if (!address) return element("span", "", text);
    const made = element("a", "", text);
    made.href = address;
    return made;
  }

  named(rows) {
    return element("ul", "sv-near", rows.map((row) => element("li", "",
      this.linked(row.id, `${row.name || "no known concept"} · ${row.id.replace("feature:", "#")}`), " ",
      element("span", "sv-soft", row.weight === undefined ? row.label || "" : `weight ${number(row.weight)}`))));
  }

  feature({ row, contexts, near, concepts }) {
    const name = row.name ? `${row.name}${row.name_words?.length ? ` (${row.name_words.join(", ")})` : ""}` : "no known concept";
    const facts = [
      `fires on ${percent(row.density, 2)} of tokens`,
      row.name_auroc === null || row.name_auroc === undefined ? "" : `name: area under the curve ${number(row.name_auroc)} (threshold ${number(row.name_null)})`,
      row.precision === undefined ? "" : `label: precision ${number(row.precision)}, recall ${number(row.recall)}`,
    ].filter(Boolean).join(" · ");
    return [
      element("h3", "", `${name}`, " ", verdictBadge(row.name_verdict || row.verdict)),
      element("p", "sv-soft", `feature ${row.feature} · ${row.label || "no label"}`), element("p", "sv-soft", facts),
      this.judging(`feature ${row.feature}`, row.name !== null, false),
      histogram(row),
      contextList("Where it fires most", contexts.filter((each) => each.kind === "top")),
      contextList("One context of each decile of its strength", contexts.filter((each) => each.kind !== "top")),
      element("div", "sv-two", tokenTable("Tokens it makes likelier", row.promoted, row.promoted_logits),
        tokenTable("Tokens it makes less likely", row.suppressed, row.suppressed_logits)),
      element("div", "sv-two",
        element("section", "", element("h4", "", "Nearest by direction"), this.named(near.direction)),
        element("section", "", element("h4", "", "Nearest by firing together"), this.named(near.firing))),
      concepts.length ? element("p", "", "In the concepts: ", concepts.flatMap((each, at) => [at ? ", " : "", this.linked(each.id, each.name)])) : null,
    ];
  }

  concept(row) {
    const facts = [
      `${row.n_features} features`, `from “${row.source}”`,
      `area under the curve ${number(row.auroc)} on unseen text (threshold ${number(row.null_threshold)})`,
    ].join(" · ");
    return [
      element("h3", "", row.name, " ", verdictBadge(row.verdict)),
      element("p", "sv-soft", [(row.words ?? []).join(", "), `id ${row.id}`].filter(Boolean).join(" · ")), element("p", "sv-soft", facts),
      this.judging(`concept ${row.name}`, true, true),
      (row.examples ?? []).length ? element("section", "", element("h4", "", "It fires in"), element("ul", "sv-contexts", row.examples.map(context))) : null,
      element("section", "", element("h4", "", "Its heaviest features"), this.named(row.features)),
    ];
  }

  // Buttons for the reader's verdict, where whoever shows the card saves it.
  judging(what, isNamed, canStrike) {
    if (!this.hasAttribute("judge")) return null;
    const said = this.getAttribute("verdict") || "";
    const tell = (verdict, detail = {}) => this.dispatchEvent(new CustomEvent("judge", { detail: { verdict, new_name: null, ...detail }, bubbles: true }));
    const made = element("div", "sv-judge");
    Object.assign(made, { role: "group", ariaLabel: `Your verdict on the name of ${what}` });
    const add = (verdict, text, act) => {
      const each = button("", text, act);
      each.setAttribute("aria-pressed", String(said === verdict));
      made.append(each);
    };
    if (isNamed) {
      add("right", "✓ name is right", () => tell(said === "right" ? "withdrawn" : "right"));
      add("wrong", "✕ name is wrong", () => tell(said === "wrong" ? "withdrawn" : "wrong"));
    }
    if (canStrike) add("strike", "⊘ strike from fits", () => tell(said === "strike" ? "withdrawn" : "strike"));
    const form = element("form", "sv-rename"), input = element("input", "");
    Object.assign(input, { maxLength: 200, placeholder: "a better name", ariaLabel: `A better name for ${what}`, required: true });
    const send = element("button", "", said === "rename" ? "✎ rename again" : "✎ rename");
    send.type = "submit";
    form.append(input, send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) tell("rename", { new_name: input.value.trim() });
    });
    made.append(form);
    return made;
  }
}
define("sae-card", CardView);
