// <sae-legend>: what marks, bars and the words of verdicts mean, closed until it is asked for.
import { element, define } from "./text.js";

function bar(kind) {
  const made = element("span", `sv-bar ${kind}`);
  made.style.width = "34px";
  return made;
}

function fired() {
  const made = element("span", "sv-token sv-fires", "word");
  made.style.setProperty("--level", "0.9");
  return made;
}

const ENTRIES = () => [
  [fired(), "the chosen concept is active here: the thicker the line, the further above its usual strength in this text (full: its strongest word)"],
  [element("mark", "sv-for", "word"), "a concept fires here that speaks for the reading that the features support"],
  [element("mark", "sv-against", "word"), "a concept fires here that speaks against it"],
  [bar("sv-for"), "adds to the log-odds of that reading; in answers, the share of an answer among the candidates"],
  [bar("sv-against"), "takes away from the log-odds"],
  ["what has no telling name", "features without a name or named for the form of words alone, and what an average prompt gets; the sentence and every table mean the same by it"],
  ["less than usual", "the concept is less active than in the average prompt that the detector was fitted on, and speaks by that"],
  ["examples: 93% of 69", "of 69 prompts that the detector was fitted on in which the concept is at least as active as here (or, where it speaks by “less than usual” or “little (41%)”, 41% as much as in the average one, at most), 93% have the reading that it speaks for"],
  ["named concepts not listed", "concepts with a name that the table does not list one by one: weaker ones, and those that examples do not bear out; the sentence, which names fewer, says “all other named concepts”"],
  ["most alike evidence", "the prompts that the detector was fitted on in which the same features fire, counted by how much each tells readings apart"],
  ["✓ validated", "the name told on unseen text where it fires, better than chance allows"],
  ["○ weak", "the name told there a little of where it fires, as names of random features do, too"],
  ["○ not confirmed", "it has a name, which did not pass that test"],
  ["○ no known concept", "none of the concepts that were tried tells where it fires"],
  ["○ too rare", "it fires too seldom to be tested"],
  ["✎ / ✕ by a reader", "a person gave or refused the name"],
  ["says", "raw: the candidate that the model finds likeliest"],
  ["calibrated", "the same with the model's constant preference for some answer taken out"],
];

export class LegendView extends HTMLElement {
  connectedCallback() {
    const list = element("dl", "", ENTRIES().map(([sign, meaning]) => element("div", "", element("dt", "", sign), element("dd", "", meaning))));
    this.replaceChildren(element("details", "", element("summary", "", "What marks, bars and verdicts mean"), list));
  }
}
define("sae-legend", LegendView);
