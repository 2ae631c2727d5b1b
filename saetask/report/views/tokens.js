// <sae-tokens>: a text by tokens, and where one chosen concept or feature fires in it.
//
// `data` is a reading document (saetask/session/reading_document.py); `chosen` is the id of a row.
// A token's bar is how far the row stands out there from its median token, as a share of its strongest:
// a concept of many features is a little active everywhere. `listsIn` is an element for the lists of rows, where
// they shall stand apart. Events: `choose` (id), `token` (index).
import { element, button, svg, number, visible, verdictBadge, define } from "./text.js";

const TOLD = 5;

function levels(row) {
  const ordered = [...row.strength].sort((a, b) => a - b);
  const middle = ordered.length ? ordered[Math.floor((ordered.length - 1) / 2)] : 0;
  const most = ordered.length ? ordered.at(-1) : 0;
  if (most - middle <= 0) return row.strength.map(() => 0);
  return row.strength.map((value) => Math.max(0, value - middle) / (most - middle));
}

export function rowName(row) {
  if (row.id.startsWith("feature:")) return row.name || "no known concept";
  return row.name;
}

export function rowNote(row) {
  if (row.id.startsWith("feature:")) return `feature ${row.id.slice(8)}${row.label ? ` · ${row.label}` : ""}`;
  return row.words?.length ? row.words.join(", ") : `${row.n_features} features`;
}

// Levels as a small bar chart, one column a token; the words are told beside it.
function strip(row) {
  const values = levels(row), width = Math.max(values.length, 1);
  const bars = values.map((level, at) => svg("rect", {
    x: at + 0.1, width: 0.8, y: 10 - 10 * level, height: 10 * level,
  }));
  const floor = svg("rect", { x: 0, y: 9.7, width, height: 0.3, class: "sv-floor" });
  return svg("svg", {
    class: "sv-strip", viewBox: `0 0 ${width} 10`, preserveAspectRatio: "none", "aria-hidden": "true",
  }, floor, ...bars);
}

export class TokenView extends HTMLElement {
  set data(reading) {
    this.reading = reading;
    this.rows = [...reading.concepts, ...reading.features];
    this.byId = new Map(this.rows.map((row) => [row.id, row]));
    if (!this.byId.has(this.id_)) this.id_ = this.rows[0]?.id ?? null;
    this.levels = new Map(this.rows.map((row) => [row.id, levels(row)]));
    this.draw();
  }

  get chosen() { return this.id_; }

  set chosen(id) {
    this.id_ = id;
    if (this.reading) this.draw();
  }

  set listsIn(place) { this.apart = place; }

  draw() {
    if (this.id_ && !this.byId.has(this.id_)) this.id_ = this.rows[0]?.id ?? null;
    const held = document.activeElement?.closest?.("[data-row]")?.dataset.row;
    this.tip = element("div", "sv-tip");
    Object.assign(this.tip, { role: "tooltip", id: `sv-tip-${TokenView.count += 1}`, hidden: true });
    const about = element("div", "sv-about");
    about.setAttribute("aria-live", "polite");
    const row = this.byId.get(this.id_);
    if (row) {
      about.append(
        element("p", "sv-chosen", element("strong", "", rowName(row)), " ", verdictBadge(row.verdict), " ", element("span", "sv-soft", rowNote(row))),
      );
    } else about.append(element("p", "sv-soft", "No concept or feature fires on this text."));
    const lists = [...(row ? [this.beside(row)] : []), this.lists()];
    this.replaceChildren(this.text(), this.tip, about, ...(this.apart ? [] : lists));
    this.apart?.replaceChildren(...lists);
    if (held) (this.apart ?? this).querySelector(`[data-row="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  }

  text() {
    const line = element("div", "sv-tokens");
    Object.assign(line, { role: "toolbar", ariaLabel: "Tokens of the text; arrow keys go from one to the next" });
    const chosen = this.levels.get(this.id_) ?? [];
    this.tokens = this.reading.pieces.map((piece, at) => {
      const blank = piece.match(/^\s*/)[0], word = piece.slice(blank.length);
      line.append(word ? blank : "");
      const shown = word || blank.replaceAll("\n", "↵").replaceAll(" ", "␣");
      const level = chosen[at] ?? 0;
      const token = button("sv-token", shown, () => this.tell("token", at), `${shown}: ${number(level)}`);
      token.tabIndex = at ? -1 : 0;
      token.style.setProperty("--level", level.toFixed(3));
      token.classList.toggle("sv-fires", level > 0.02);
      token.addEventListener("pointerenter", () => this.showTip(at));
      token.addEventListener("focus", () => this.showTip(at));
      token.addEventListener("pointerleave", () => this.hideTip());
      token.addEventListener("blur", () => this.hideTip());
      line.append(token, !word && blank.includes("\n") ? "\n" : "");
      return token;
    });
    line.addEventListener("keydown", (event) => this.move(event));
    return line;
  }

  move(event) {
    const at = this.tokens.indexOf(event.target), last = this.tokens.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.hideTip();
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const wanted = this.tokens[Math.min(Math.max(to, 0), last)];
    this.tokens[at].tabIndex = -1;
    wanted.tabIndex = 0;
    wanted.focus();
  }

  showTip(at) {
    const told = (rows) => rows.map((row) => [this.levels.get(row.id)[at], row])
      .filter(([level]) => level > 0.2).sort((a, b) => b[0] - a[0]).slice(0, TOLD);
    const lines = [...told(this.reading.concepts), ...told(this.reading.features)];
    this.tip.replaceChildren(
      element("p", "sv-tip-head", `“${this.reading.pieces[at].trim() || "blank"}”`),
      lines.length
        ? element("ul", "", lines.map(([level, row]) => element("li", "", element("span", "sv-n", number(level)), ` ${rowName(row)} `, element("span", "sv-soft", row.id.startsWith("feature:") ? `#${row.id.slice(8)}` : "concept"))))
        : element("p", "sv-soft", "nothing stands out here"),
    );
    this.tip.hidden = false;
    const token = this.tokens[at], room = this.clientWidth;
    token.setAttribute("aria-describedby", this.tip.id);
    const left = Math.max(0, Math.min(token.offsetLeft, room - this.tip.offsetWidth));
    Object.assign(this.tip.style, { left: `${left}px`, top: `${token.offsetTop + token.offsetHeight + 6}px` });
  }

  hideTip() {
    this.tip.hidden = true;
  }

  // The chosen row and its nearest, one strip each on the same tokens.
  beside(row) {
    const near = row.near.map((id) => this.byId.get(id)).filter(Boolean);
    if (!near.length) return element("div", "");
    const made = element("div", "sv-beside", element("h4", "", "Beside what is nearest to it"));
    made.append(element("ul", "sv-rows", [row, ...near].map((each) => this.rowItem(each))));
    return made;
  }

  lists() {
    const made = element("div", "sv-lists");
    const add = (title, rows) => {
      if (!rows.length) return;
      const list = element("ul", "sv-rows", rows.map((row) => this.rowItem(row)));
      made.append(element("section", "", element("h4", "", `${title} (${rows.length})`), list));
    };
    add("Concepts that stand out", this.reading.concepts);
    add("Features that stand out", this.reading.features);
    return made;
  }

  rowItem(row) {
    const here = row.id === this.id_, values = this.levels.get(row.id);
    const peak = values.indexOf(Math.max(...values));
    const where = values[peak] > 0 ? this.reading.pieces[peak].trim() : "nowhere";
    const made = button("sv-row", "", () => {
      this.chosen = row.id;
      this.tell("choose", row.id);
    });
    made.setAttribute("aria-pressed", String(here));
    made.dataset.row = row.id;
    made.append(
      element("span", "sv-row-name", `${row.verdict === "validated" ? "✓ " : ""}${visible(rowName(row))}`,
        element("span", "sv-soft", row.id.startsWith("feature:") ? ` #${row.id.slice(8)}` : "")),
      strip(row), element("span", "sv-row-where", where),
    );
    return element("li", "", made);
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }
}
TokenView.count = 0;
define("sae-tokens", TokenView);
