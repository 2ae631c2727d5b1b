// <sae-items>: the items of a run: filters, search, pages, and each item with its findings.
//
// `source` is {page({show, words, offset, limit}), item(id)}, both async; `state` is {show, words, page, open}.
// Event: `state`, when the reader changes it.
import { element, button, number, define } from "./text.js";
import "./finding.js";

const PAGE = 50;
const CHANGES = {
  fixed: ["▲", "fixed"], broken: ["▼", "broken"], right: ["✓", "stays right"],
  wrong: ["✕", "stays wrong"], unknown: ["?", "one arm only"],
};
const FILTERS = [["", "All"], ["fixed", "Fixed"], ["broken", "Broken"], ["right", "Stays right"], ["wrong", "Stays wrong"], ["annotated", "Annotated"]];
const sign = (correct) => (correct ? "✓ right" : "✕ wrong");

export class ItemsView extends HTMLElement {
  constructor() {
    super();
    this.now = { show: "", words: "", page: 0, open: "" };
  }

  set source(source) {
    this.from = source;
    this.frame();
    this.load();
  }

  set state(state) {
    this.now = { ...this.now, ...state };
    if (this.from) {
      this.search.value = this.now.words;
      this.load();
    }
  }

  frame() {
    this.filters = element("div", "sv-filters");
    Object.assign(this.filters, { role: "group", ariaLabel: "Which items" });
    this.search = element("input", "");
    Object.assign(this.search, { type: "search", value: this.now.words, ariaLabel: "Search the items", placeholder: "Search prompts, answers, notes, names" });
    let waiting;
    this.search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.change({ words: this.search.value, page: 0, open: "" }), 200);
    });
    this.told = element("p", "sv-soft");
    this.told.setAttribute("aria-live", "polite");
    this.list = element("ol", "sv-items");
    this.pager = element("nav", "sv-pager");
    this.pager.setAttribute("aria-label", "Pages of items");
    this.replaceChildren(this.filters, this.search, this.told, this.list, this.pager);
  }

  change(state) {
    Object.assign(this.now, state);
    this.dispatchEvent(new CustomEvent("state", { detail: { ...this.now }, bubbles: true }));
    this.load();
  }

  async load() {
    const { show, words, page } = this.now, turn = this.turn = (this.turn ?? 0) + 1;
    const found = await this.from.page({ show, words, offset: page * PAGE, limit: PAGE });
    if (turn !== this.turn) return; // a later one was asked for
    this.filters.replaceChildren(...FILTERS.map(([value, text]) => {
      const count = value ? found.counts[value] ?? 0 : found.n_all;
      const each = button("", `${text} ${count}`, () => this.change({ show: value, page: 0, open: "" }));
      each.setAttribute("aria-pressed", String(value === show));
      return each;
    }));
    this.told.textContent = `${found.n} of ${found.n_all} items`;
    this.list.replaceChildren(...found.items.map((row) => this.entry(row)));
    const last = Math.max(0, Math.ceil(found.n / PAGE) - 1);
    const step = (text, by) => {
      const each = button("", text, () => this.change({ page: page + by, open: "" }));
      each.disabled = page + by < 0 || page + by > last;
      return each;
    };
    this.pager.hidden = last === 0;
    this.pager.replaceChildren(step("← Previous", -1), element("span", "", ` Page ${page + 1} of ${last + 1} `), step("Next →", 1));
  }

  entry(row) {
    const [mark, text] = CHANGES[row.change];
    const summary = element("summary", "sv-item",
      element("span", `sv-change sv-${row.change}`, `${mark} ${text}`), element("span", "sv-id", row.id),
      element("span", "sv-excerpt", row.excerpt), element("span", "sv-soft", row.reading ? `→ ${row.reading}` : ""),
      element("span", "sv-n", row.probability === null ? "" : number(row.probability)));
    const details = element("details", "", summary);
    details.addEventListener("toggle", async () => {
      if (!details.open) return;
      if (details.children.length === 1) {
        const hold = element("div", "sv-detail", "…");
        details.append(hold);
        hold.replaceChildren(...this.detail(await this.from.item(row.id)));
      }
      if (this.now.open !== row.id) {
        this.now.open = row.id;
        this.dispatchEvent(new CustomEvent("state", { detail: { ...this.now }, bubbles: true }));
      }
    });
    if (row.id === this.now.open) details.open = true;
    return element("li", "", details);
  }

  detail(item) {
    const prompt = item.before?.prompt ?? "";
    const findings = (item.after?.misunderstandings ?? []).map((finding) => {
      const view = element("sae-finding", "");
      view.data = { text: prompt, offset: item.offset, answer: item.before?.raw_output ?? item.before?.output, finding };
      return view;
    });
    const arms = Object.entries(item.correct).map(([arm, correct]) => {
      const raw = item.raw_correct[arm];
      return `${arm} ${sign(raw ?? correct)}${raw === undefined || raw === correct ? "" : ` (calibrated ${sign(correct)})`}`;
    });
    return [
      element("div", "sv-two", this.asked("The prompt as it is", item.before), this.asked("The prompt in the method's arm", item.after)),
      element("h4", "", "What was found"), ...(findings.length ? findings : [element("p", "sv-soft", "Nothing: the prompt stays as it is.")]),
      element("p", "sv-soft", `All arms: ${arms.join(" · ")}`),
      element("p", "sv-soft", `group ${item.group || "–"} · fold ${item.fold}`),
    ];
  }

  asked(title, row) {
    if (!row) return element("div", "", element("h4", "", title), element("p", "sv-soft", "This arm has no row for the item."));
    const scores = Object.entries(row.raw_scores ?? row.scores).map(([text, value]) => `${text} ${number(value)}`).join(", ");
    return element("div", "", element("h4", "", title), element("p", "sv-text", row.prompt),
      element("p", "", `The model says “${(row.raw_output ?? row.output).trim()}”`, row.raw_correct === null || row.raw_correct === undefined ? "" : ` (${sign(row.raw_correct)})`,
        `; calibrated “${row.output.trim()}” (${sign(row.correct)})`),
      scores ? element("p", "sv-soft", `Scores: ${scores}`) : null,
      row.annotations.length ? element("p", "sv-soft", `Note: ${row.annotations.map((note) => `${note.text} [${note.placement}]`).join("; ")}`) : null);
  }
}
define("sae-items", ItemsView);
