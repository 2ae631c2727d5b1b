// Steering: a prompt answered with concepts or features raised, lowered or struck in the model itself.
import { element, button, percent } from "/views/text.js";
import { GivenUp, newestRequest, problem } from "/app/api.js";
import { nameOf } from "/app/names.js";
import { select } from "/app/misreading.js";
import { sharesOf } from "/views/answers.js";

const MOST = 8, LARGEST_STRENGTH = 1000;
const EXPLAINED = "The model itself is changed, at every token that the SAE reads. Strength 1 adds what a feature has on average where it fires; a negative one takes that away; struck features do not fire at all. Random pushes move the activation as far in directions without meaning: an edit that does no more than they do says nothing about the concept.";

function isStrength(text) {
  return text.trim() !== "" && Math.abs(Number(text)) <= LARGEST_STRENGTH; // which does not hold of NaN
}

// Candidates with their likelihoods, as `sae-answers` takes them.
function column(title, answers) {
  const texts = Object.keys(answers.log_likelihoods), scores = Object.values(answers.log_likelihoods);
  const candidates = sharesOf(scores).map((share, at) => ({ text: texts[at].trim(), score: scores[at], share }));
  const best = candidates.reduce((first, each) => (first && first.share >= each.share ? first : each), null);
  return { title, answer: best?.text ?? "", text: answers.text, candidates };
}

function ranges(columns) {
  const [first] = columns, found = {};
  first.candidates.forEach(({ text }, at) => {
    const shares = columns.map((each) => each.candidates[at].share);
    found[text] = [Math.min(...shares), Math.max(...shares)];
  });
  return found;
}

export function steeringPanel(state, { save }) {
  const chips = element("p", "chips"), told = element("div", ""), result = element("sae-answers", "");
  const strength = element("input", ""), asked = select([["task", "the task's question"], ["text", "the text alone"]]);
  Object.assign(strength, { type: "number", step: "any", min: -LARGEST_STRENGTH, max: LARGEST_STRENGTH, value: state.by });
  const requests = newestRequest();
  let shown = null; // the question that the result answers, or will
  asked.value = state.as;
  told.setAttribute("aria-live", "polite");
  const settings = element("div", "line", element("label", "", "Strength, in typical activations", strength), element("label", "", "Answered is", asked));
  const panel = element("section", "panel steering", element("h2", "", "Steer or strike a concept in the model"), element("p", "soft", EXPLAINED), chips, settings, told, result);
  strength.addEventListener("change", () => change({ by: strength.value }));
  asked.addEventListener("change", () => change({ as: asked.value }));

  function change(values) {
    Object.assign(state, values);
    save();
    return run();
  }

  // Adds or removes a concept; of steering and striking, one holds.
  function toggle(kind, id) {
    const other = kind === "steer" ? "strike" : "steer", kept = state[kind].filter((each) => each !== id);
    const ids = kept.length < state[kind].length ? kept : [...kept, id].slice(-MOST);
    return change({ [kind]: ids, [other]: state[other].filter((each) => each !== id) });
  }

  function drawChips() {
    const chip = (kind, id, text) => element("span", "chip", text, button("", "remove", () => toggle(kind, id), `Remove ${nameOf(id)}`));
    const every = [...state.steer.map((id) => chip("steer", id, `${nameOf(id)}, steered by ${state.by}`)), ...state.strike.map((id) => chip("strike", id, `${nameOf(id)}, struck`))];
    chips.replaceChildren(...(every.length ? every : ["Choose a concept or a feature above, then Steer or Strike."]));
  }

  async function run() {
    requests.giveUp();
    shown = null;
    drawChips();
    result.replaceChildren();
    told.replaceChildren();
    if (!state.steer.length && !state.strike.length) return;
    if (!isStrength(state.by)) {
      told.replaceChildren(problem(new Error(`The strength must be a number from −${LARGEST_STRENGTH} to ${LARGEST_STRENGTH}.`)));
      return;
    }
    told.replaceChildren(element("p", "soft", "Asking the model, with the edit and with three random pushes …"));
    shown = question();
    try {
      const found = await requests.ask("/api/steer", { ...shown, steer: state.steer, strength: Number(state.by), ablate: state.strike });
      const columns = [column("Before", found.before), column("With the edit", found.after)];
      const random = found.random.map((each) => column("With a random push", each));
      const hasCandidates = columns[0].candidates.length > 0;
      result.data = hasCandidates ? { columns, random: ranges(random) } : { columns: [...columns, random[0]] };
      const names = [...Object.keys(found.steered), ...Object.keys(found.ablated)].join(", ");
      told.replaceChildren(element("p", "", `${names}: the activation moves by ${percent(found.relative_norm, 0)} of its norm, on average over the prompt's tokens that the edit reaches.`));
    } catch (error) {
      if (!(error instanceof GivenUp)) told.replaceChildren(problem(error));
    }
  }

  function question() {
    const ofTask = state.as === "task";
    return { text: state.text, task: ofTask ? state.task : null, target: ofTask ? state.target.trim() || null : null };
  }

  // Takes away answers to another question than the form holds now.
  function checkQuestion() {
    if (shown === null || JSON.stringify(shown) === JSON.stringify(question())) return;
    requests.giveUp();
    shown = null;
    result.replaceChildren();
    told.replaceChildren(element("p", "soft", "The prompt has changed. ", button("", "Answer it under this edit", run)));
  }

  drawChips();
  return { panel, run, toggle, checkQuestion };
}
