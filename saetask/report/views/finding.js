// <sae-finding>: what is misread, and the concepts that speak for and against it.
//
// `data` is {text, offset, answer, calibrated_answer, finding, weaker, unnamed}: the text in which positions count from
// `offset` on, the raw and the calibrated answer, a misunderstanding as `items.jsonl` and `detect --json` have it, and
// what concepts add that are not in it, and the words of what has no name, in one text. With the attribute `brief`, the strongest concepts stand first, and
// the rest is closed until it is asked for. With `choosable`, concepts are buttons. Event: `choose` (id), of a button.
import { element, button, tableOf, context, markedText, signed, number, probability, shortName, verdictSign, define } from "./text.js";

// In the words of saetask/report/evidence.py.
const REST = "what has no telling name", WEAKER = "named concepts not listed";
const MOST_NEAREST = 3, ROWS_A_SIDE = 3, ROWS_IN_BRIEF = 2, MOST_WORDS = 3, FOR = 1, AGAINST = 2;
const CLASSES = { 1: "sv-for", 2: "sv-against", 3: "sv-for sv-against" };

// What a token adds to the reading; where that is unknown, how strongly the concept fires on it.
const strengthOf = (token) => Math.abs(token.adds ?? 0) || token.activation;

// The words on which a concept adds most; adjoining tokens are one word.
export function firedWords(concept) {
  const words = [];
  for (const token of [...concept.tokens].sort((a, b) => a.start - b.start)) {
    const text = token.text.trim();
    const start = token.start + Array.from(token.text).length - Array.from(token.text.trimStart()).length;
    const end = start + Array.from(text).length;
    if (!text) continue;
    const before = words.at(-1);
    if (before && before.end === start) {
      const joined = before.text + text, word = (token.word && before.word) || joined;
      Object.assign(before, { end, text: joined, word, strength: Math.max(before.strength, strengthOf(token)) });
    } else words.push({ start, end, text, word: token.word || text, described: token.described, strength: strengthOf(token) });
  }
  return words.sort((a, b) => b.strength - a.strength).slice(0, MOST_WORDS);
}

// The words on which a concept fires, in brackets where its name does not describe them; or what stands in their place.
function toldWords(concept) {
  const words = firedWords(concept).map(({ word, described }) => (described === false ? `(${word})` : word));
  if (words.length) return [...new Set(words)].join(", ");
  if (concept.fires_less === false) return "outside the text";
  const told = concept.alike?.usual > 0 ? `little (${percent(concept.alike.activity / concept.alike.usual)})` : "less than usual";
  return concept.less_on?.length ? `${told}: ${concept.less_on.join(", ")}` : told;
}

const percent = (share) => `${Math.round(100 * share)}%`;

// Which share of how many examples, where the concept fires as here, have the reading that it speaks for.
function examples({ alike }) {
  return alike ? `${percent(alike.share)} of ${alike.n}` : "";
}

// Whether examples in which the concept fires so have its reading more often than chance gives one time in twenty.
function holdsAlone({ alike }) {
  return !alike || alike.share - alike.of_all > 1.645 * Math.sqrt((alike.of_all * (1 - alike.of_all)) / alike.n);
}

// The concepts of one side that examples bear out, strongest first.
function side(finding, speaksFor) {
  return (finding.concepts ?? []).filter((c) => (c.contribution > 0) === speaksFor && holdsAlone(c))
    .sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
}

// The concept that says most for the reading; where none does, the one that says most against it.
export function strongestConcept(finding) {
  return side(finding, true)[0] ?? side(finding, false)[0] ?? null;
}

export function otherReading(finding) {
  if (finding.against) return finding.against;
  const others = new Set((finding.concepts ?? []).filter((c) => c.contribution <= 0).map((c) => c.for));
  others.delete(finding.reading);
  return others.size === 1 ? [...others][0] : "";
}

export function marginSentence(finding) {
  if (finding.log_odds === null || finding.log_odds === undefined) return "";
  const odds = Math.exp(Math.min(Math.abs(finding.log_odds), 50));
  const size = odds > 1000 ? "over 1000" : `about ${Number(odds.toPrecision(2))}`;
  return `Margin ${signed(finding.log_odds)}: ${size} to 1 ${finding.log_odds > 0 ? "for" : "against"} “${finding.reading}”, by the features alone.`;
}

export class FindingView extends HTMLElement {
  set data(data) {
    this.shown = data;
    const { finding } = data;
    this.brief = this.hasAttribute("brief");
    this.aSide = this.brief ? ROWS_IN_BRIEF : ROWS_A_SIDE;
    this.strongest = [side(finding, true), side(finding, false)];
    this.listed = this.strongest.flatMap((concepts) => concepts.slice(0, this.aSide));
    const parts = [this.sentence()];
    const further = () => [...this.told(), this.contexts()];
    const shown = () => [...this.marked(), this.bars()];
    if (this.listed.length && this.brief) parts.push(...shown(), this.nearest(), this.closed([this.why(), ...further()].filter(Boolean)));
    else if (this.listed.length) parts.push(this.why(), this.nearest(), ...shown(), ...further());
    else if (finding.features?.length) parts.push(this.nearest(), this.features());
    this.replaceChildren(...parts.filter(Boolean));
  }

  sentence() {
    const { finding, answer } = this.shown;
    if (this.brief) {
      return element("p", "sv-sentence", element("strong", "", `“${finding.text}” is misread`), `: the features support `, element("strong", "", `“${finding.reading}”`),
        `; the calibrated answer is wrong with a probability of ${probability(finding.probability)}.`);
    }
    const said = answer ? ` The model says “${answer}”.` : "";
    return element("p", "sv-sentence",
      `“${finding.text}” is misread, says ${finding.detector || "the detector"}: the features support “${finding.reading}”, ` +
      `and the model's calibrated answer to the original prompt is wrong with a probability of ${probability(finding.probability)}.${said}`);
  }

  // Why it counts as misread, as saetask/report/why.py says it.
  why() {
    const { why } = this.shown.finding;
    return why ? element("p", "sv-sentence", why[0].toUpperCase() + why.slice(1)) : null;
  }

  marked() {
    const { text, offset = 0, finding } = this.shown;
    if (offset === null || !text) return [];
    const fitting = (concept) => firedWords(concept).filter(({ described }) => described !== false);
    const marks = this.listed.flatMap((concept) => fitting(concept).map(({ start, end }) => ({
      start: start + offset, end: end + offset, kind: concept.contribution > 0 ? FOR : AGAINST,
    })));
    const other = otherReading(finding);
    if (this.brief) {
      const against = other ? `“${other}”` : "against it";
      return [markedText(text, marks, (kind) => CLASSES[kind]), element("p", "sv-soft sv-key", `Solid: “${finding.reading}”. Broken or hatched: ${against}.`)];
    }
    const key = `Underlined words speak for “${finding.reading}”, those on a broken line ${other ? `for “${other}”` : "against it"}.`;
    return [markedText(text, marks, (kind) => CLASSES[kind]), element("p", "sv-soft sv-key", key)];
  }

  bars() {
    const { finding } = this.shown, other = otherReading(finding);
    const rows = this.listed.map((c) => [
      c.name, c.contribution, c.verdict, c.examples ?? examples(c), c.told ?? toldWords(c), c,
    ]);
    if (Math.abs(this.weaker()) >= 0.005) rows.push([WEAKER, this.weaker(), "", "", ""]);
    if (finding.rest !== null && finding.rest !== undefined) rows.push([REST, finding.rest - (finding.unlisted ?? 0), "", "", this.unnamed()]);
    const largest = Math.max(...rows.map(([, adds]) => Math.abs(adds)), 1e-9);
    const bar = (adds, kind) => {
      const made = element("span", `sv-bar ${kind}`);
      made.style.width = `${((100 * Math.abs(adds)) / largest).toFixed(1)}%`;
      return made;
    };
    const headings = [
      ["sv-name", "Concept"], ["sv-side sv-left", other ? `Speaks for ${other}` : `Speaks against ${finding.reading}`],
      ["sv-side", `Speaks for ${finding.reading}`], ["sv-n", "Adds"], ["sv-said", "Its name is"], ["sv-alike", "Examples"], ["sv-where", "Fires on"],
    ];
    const table = tableOf(`Concepts behind it, by what they add to the log-odds of “${finding.reading}”`, headings,
      rows.map(([name, adds, verdict, alike, fired]) => [
        this.brief && verdict ? `${verdictSign(verdict)} ${shortName(name)}` : name, adds < 0 ? bar(adds, "sv-against") : "", adds > 0 ? bar(adds, "sv-for") : "", signed(adds), verdict, alike, fired,
      ]));
    if (this.brief) table.querySelector("caption").className = "sv-unseen"; // the sentence above tells it
    table.querySelector("th.sv-alike").title = "of the examples in which it fires as here, how many have the reading that it speaks for";
    if (!this.hasAttribute("choosable")) return table;
    const cells = table.querySelectorAll("tbody th");
    rows.forEach(([, , , , , concept], place) => {
      if (!concept?.id) return;
      const choose = button("sv-concept", cells[place].textContent, () => this.dispatchEvent(new CustomEvent("choose", { detail: concept.id, bubbles: true })));
      choose.dataset.concept = concept.id;
      cells[place].replaceChildren(choose);
    });
    return table;
  }

  // Concepts that have no row, added up; whoever packs findings may have left them out.
  weaker() {
    const { finding } = this.shown, sum = (concepts) => concepts.reduce((total, { contribution }) => total + contribution, 0);
    return this.shown.weaker ?? sum(finding.concepts) - sum(this.listed) + (finding.unlisted ?? 0);
  }

  // The words on which what has no telling name adds most.
  unnamed() {
    const words = firedWords({ tokens: this.shown.finding.unnamed_tokens ?? [] }).map(({ word }) => word.replace(/^[ .,;:!?()"'“”‘’]+(?=.*\p{L})|(?<=\p{L}.*)[ .,;:!?()"'“”‘’]+$/gu, ""));
    return this.shown.unnamed ?? [...new Set(words)].join(", ");
  }

  // Known prompts whose evidence is most like that of this one, with their right readings.
  nearest() {
    const near = (this.shown.finding.nearest ?? []).slice(0, MOST_NEAREST);
    if (!near.length) return null;
    return element("div", "", element("h4", "", "Examples with the most alike evidence"),
      element("ul", "sv-contexts", near.map(({ text, reading }) => element("li", "", element("strong", "", reading), `: ${text}`))));
  }

  told() {
    const { finding, answer, calibrated_answer: calibrated } = this.shown, told = [marginSentence(finding)];
    const [first] = this.strongest[0];
    if (first && finding.log_odds > 0) {
      const left = finding.log_odds - first.contribution, other = otherReading(finding);
      const without = other ? `say “${other}”` : `no longer say “${finding.reading}”`;
      told.push(`With as much of “${shortName(first.name)}” as usual the features would ${left > 0 ? `still say “${finding.reading}”` : without} (${signed(left)}).`);
    }
    if (answer && calibrated && calibrated !== answer) told.push(`Calibrated, the answer is “${calibrated}”.`);
    return told.filter(Boolean).map((text) => element("p", "sv-soft", text));
  }

  contexts() {
    const shown = this.strongest.map(([first]) => first).filter((concept) => concept?.contexts.length);
    return element("div", "sv-two", shown.map((concept) => element("div", "",
      element("h4", "", `“${shortName(concept.name)}” fires in`), element("ul", "sv-contexts", concept.contexts.map(context)))));
  }

  closed(parts) {
    return element("details", "sv-further", element("summary", "", "Margin, and where these concepts fire elsewhere"), parts);
  }

  features() {
    const headings = [["sv-n", "Feature"], ["sv-name", "Label"], ["sv-n", "Activation"], ["sv-n", "Weight"]];
    return tableOf("Features behind it, strongest first", headings, this.shown.finding.features.map((feature) => [
      `#${feature.id}`, feature.label || "no label", number(feature.activation, 3), number(feature.weight, 3),
    ]));
  }
}
define("sae-finding", FindingView);
