// <sae-answers>: answers to a prompt and the likelihoods of the candidates, side by side.
//
// `data` is {columns, random}: each column {title, answer, calibrated_answer, prompt, text, candidates}, where
// candidates are {text, score, share, calibrated}; the first column is what the others are compared with.
// `random`, where there is one, has per candidate the shares after random pushes: {text: [low, high]}.
import { element, number, percent, define } from "./text.js";

const CHANGED = 0.005;

// Shares among the candidates, of their log-likelihoods in nats.
export function sharesOf(logLikelihoods) {
  const most = Math.max(...logLikelihoods), parts = logLikelihoods.map((each) => Math.exp(each - most));
  const total = parts.reduce((sum, part) => sum + part, 0);
  return parts.map((part) => part / total);
}

export class AnswersView extends HTMLElement {
  set data({ columns, random = null }) {
    const texts = columns[0].candidates.map((each) => each.text), parts = [];
    if (texts.length) parts.push(this.table(columns, texts, random));
    else parts.push(element("div", "sv-two", columns.map((column) => this.generated(column))));
    const prompts = columns.filter((column) => column.prompt);
    if (prompts.length) {
      parts.push(element("details", "sv-prompts-asked", element("summary", "", prompts.length > 1 ? "The prompts as they were asked" : "The prompt as it was asked"),
        element("div", "sv-two", prompts.map((column) => element("div", "", element("h4", "", column.title), element("p", "sv-text", column.prompt))))));
    }
    this.replaceChildren(...parts);
  }

  // What the model says above, and how likely each candidate is below.
  table(columns, texts, random) {
    const head = (column) => {
      const calibrated = column.calibrated_answer && column.calibrated_answer !== column.answer;
      const made = element("th", "", element("span", "sv-column", column.title), element("span", "sv-answer", element("span", "sv-says", "says "), element("strong", "", `“${column.answer}”`)),
        calibrated ? element("span", "sv-soft", `calibrated “${column.calibrated_answer}”`) : "");
      made.scope = "col";
      return made;
    };
    const corner = element("th", "", element("span", "sv-unseen", "Candidate answer"));
    corner.scope = "col";
    const heads = [corner, ...columns.map(head)];
    if (random) {
      heads.push(element("th", "", element("span", "sv-column", "Random pushes"), element("span", "sv-soft", "of the same norm")));
      heads.at(-1).scope = "col";
    }
    const rows = texts.map((text, at) => {
      const name = element("th", "", text);
      name.scope = "row";
      const cells = columns.map((column) => this.cell(column.candidates[at], columns[0].candidates[at]));
      if (random) cells.push(element("td", "", `${percent(random[text][0])} to ${percent(random[text][1])}`));
      return element("tr", "", name, cells);
    });
    const table = element("table", `sv-table sv-answers${random ? "" : " sv-pair"}`, element("caption", "sv-unseen", "Candidate answers: share among them, log-likelihood in nats"),
      element("thead", "", element("tr", "", heads)), element("tbody", "", rows));
    const scroll = element("div", "sv-scroll", table);
    Object.assign(scroll, { tabIndex: 0, role: "region", ariaLabel: "Table: candidate answers" });
    return scroll;
  }

  cell(candidate, first) {
    const bar = element("span", "sv-bar sv-for"), changed = Math.abs(candidate.share - first.share) >= CHANGED;
    bar.style.width = `${(100 * candidate.share).toFixed(1)}%`;
    const calibrated = candidate.calibrated === undefined ? "" : element("span", "sv-wide", ` · calibrated ${percent(Math.exp(candidate.calibrated))}`);
    return element("td", "", element("span", `sv-share${changed ? " sv-changed" : ""}`, percent(candidate.share)), element("span", "sv-track", bar), element("span", "sv-soft", `${number(candidate.score)} nats`, calibrated));
  }

  generated(column) {
    return element("div", "", element("h4", "", column.title), element("p", "sv-text", column.text.trim() || "(nothing)"));
  }
}
define("sae-answers", AnswersView);
