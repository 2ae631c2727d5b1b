// What is misread in a prompt, with its evidence; notes to accept or edit; and the answers before and after.
import { element, button, number, probability, visible } from "/views/text.js";
import { GivenUp, newestRequest, problem } from "/app/api.js";
import { nameOf } from "/app/names.js";
import { judge } from "/app/verdicts.js";
import { strongestConcept } from "/views/finding.js";
import "/views/answers.js";

const PLACES = { end: "at the end", start: "at the beginning", inline: "after the word", system: "as system message" };

const LONGEST_TOLD = 60;

// `choose(id)` is called with a concept that the reader chose, `suggest(id)` with the strongest one of a finding (""
// where there is none), `save()` when `state` has changed.
export function misreadingStage(state, { choose, suggest, save }) {
  const evidence = element("section", "evidence"), answering = element("section", "answering");
  const remarks = element("section", "remarks"), grid = element("div", "stage", evidence, answering, remarks);
  const earlier = element("p", "earlier"), stage = element("div", "", earlier, grid), requests = newestRequest();
  evidence.setAttribute("aria-live", "polite");
  earlier.setAttribute("role", "status");
  let body = null, base = null; // what is asked, and what was found

  async function detect() {
    show(element("p", "soft", "Asking the model …"));
    const mine = body = question();
    try {
      const whole = await requests.ask("/api/detect", body);
      const struck = state.without.length ? await requests.ask("/api/detect", { ...body, without: state.without }) : null;
      base = whole;
      const { detection } = struck ?? base, [first] = detection.misunderstandings;
      evidence.replaceChildren(element("h2", "unseen", "What is misread"), ...shown(struck));
      remarks.replaceChildren(...told(detection));
      answering.replaceChildren(...noteForm());
      suggest(first ? strongestConcept(first)?.id ?? "" : "");
    } catch (error) {
      if (error instanceof GivenUp || mine !== body) return;
      evidence.replaceChildren(problem(error));
      if (!body.target) evidence.append(element("p", "soft", "Click the word in question, among the tokens above, or type it."));
    }
  }

  function question() {
    return { task: state.task, text: state.text, target: state.target.trim() || null };
  }

  // Shows this alone, as the answer to nothing.
  function show(told) {
    body = base = null;
    evidence.replaceChildren(told);
    answering.replaceChildren();
    remarks.replaceChildren();
    mark("");
  }

  // Says what a finding is of where the form holds another question by now, and switches off what can be done with it.
  function checkQuestion() {
    const now = question(), kinds = { text: "Of the prompt before", task: "Of another task", target: "Of another word" };
    const differs = body ? Object.keys(kinds).find((key) => body[key] !== now[key]) : undefined;
    if (!differs) return mark("");
    requests.giveUp();
    state.note = ""; // the address holds the new question, which the note is not for
    if (!base) return show(element("p", "soft", "The prompt has changed; Find misreadings asks about the new one."));
    const characters = Array.from(body.text), cut = characters.slice(0, LONGEST_TOLD).join("");
    const of = `“${cut}${characters.length > LONGEST_TOLD ? "…" : ""}” (${[body.task, body.target].filter(Boolean).join(", ")})`;
    mark(kinds[differs], `: ${of}. Find misreadings asks about the new one.`);
  }

  function mark(kind, of = "") {
    earlier.hidden = !kind;
    earlier.replaceChildren(element("strong", "", kind), of && visible(of));
    grid.classList.toggle("stale", Boolean(kind));
    grid.inert = Boolean(kind);
  }

  function shown(struck) {
    const { detection } = struck ?? base, parts = [];
    if (struck) parts.push(hidden());
    for (const found of detection.misunderstandings) parts.push(findingView(detection, found));
    if (!detection.misunderstandings.length) {
      const { answer, calibrated_answer: judged } = detection;
      const begins = answer === judged ? "Nothing is misread" : `Nothing is misread, but the model says “${answer}”`;
      const why = answer === judged ? "" : ` It says “${answer}” by what it says to most prompts; judged is “${judged}”, its answer without that preference.`;
      parts.push(element("p", "sv-sentence", element("strong", "", begins), `: ${detection.reason}. The calibrated answer is wrong with a probability of ${probability(detection.failure)}.${why}`));
    }
    return parts;
  }

  // What the answer is worth, and the reader's verdict on what is found.
  function told(detection) {
    const { preference } = detection, parts = detection.misunderstandings.map((found) => verdictOn(detection, found));
    if (preference) parts.push(element("p", "soft", `${preference[0].toUpperCase()}${preference.slice(1)}.`));
    return parts;
  }

  // What changes when concepts are hidden from the detector, which stays as it was fitted.
  function hidden() {
    const chips = state.without.map((id) => element("span", "chip", nameOf(id), button("", "put back", () => hide(id), `Put ${nameOf(id)} back`)));
    const before = base.detection, found = before.misunderstandings[0];
    const text = found ? `a misreading (margin ${number(found.log_odds)}, p(wrong) ${probability(before.failure)})` : `no misreading (p(wrong) ${probability(before.failure)})`;
    return element("div", "", element("p", "", "Hidden from the detector: ", chips), element("p", "soft", `With them it found ${text}. Below is what it finds without them; it was not fitted anew.`));
  }

  function hide(id) {
    state.without = state.without.includes(id) ? state.without.filter((each) => each !== id) : [...state.without, id];
    save();
    return detect();
  }

  function findingView(detection, found) {
    const view = element("sae-finding", "");
    for (const name of ["brief", "choosable"]) view.setAttribute(name, "");
    view.data = { text: detection.prompt, offset: 0, answer: detection.answer, calibrated_answer: detection.calibrated_answer, finding: found };
    view.addEventListener("choose", ({ detail }) => choose(detail));
    return view;
  }

  function verdictOn(detection, found) {
    const verdict = element("div", "line verdict");
    Object.assign(verdict, { role: "group", ariaLabel: "Your verdict on this finding" });
    for (const [name, label] of [["right", "✓ finding is right"], ["wrong", "✕ finding is wrong"]]) {
      verdict.append(button("", label, async () => {
        const id = `${state.task}:${found.reading}:${found.text}:${detection.prompt}`.slice(0, 180);
        await judge(verdict, { kind: "finding", id, name: found.reading, verdict: name, text: detection.prompt });
      }));
    }
    return verdict;
  }

  // ----- the note, and both answers

  function noteForm() {
    const words = element("textarea", ""), place = select(Object.entries(PLACES)), go = element("button", "main", "Ask again");
    const first = base.notes[0], answers = element("sae-answers", "");
    Object.assign(words, { rows: 2, maxLength: 2000, required: true, value: state.note || first?.text || "", ariaLabel: "Note, to accept or edit" });
    place.value = state.note ? state.place : first?.placement ?? "end";
    place.ariaLabel = "Place of the note";
    go.type = "submit";
    const form = element("form", "note", words, element("div", "line", base.notes.length > 1 ? offered(words, place) : null, place, go));
    if (!base.notes.length) form.prepend(element("p", "soft", "No annotation follows from the evidence; you may write one."));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      Object.assign(state, { note: words.value, place: place.value });
      save();
      again();
    });
    async function again() {
      go.disabled = true;
      try {
        const both = await requests.ask("/api/ask", { ...body, note: { text: words.value, placement: place.value } });
        answers.data = { columns: [{ title: "Before", ...both.before }, { title: "With the note", ...both.after }] };
      } catch (error) {
        if (!(error instanceof GivenUp)) answers.replaceChildren(problem(error));
      }
      go.disabled = false;
    }
    answers.setAttribute("aria-live", "polite");
    answers.data = { columns: [{ title: "Before", ...base.asked }] };
    if (state.note) again();
    return [element("h2", "", "Write it into the prompt, and ask again"), form, answers];
  }

  function offered(words, place) {
    const list = select(base.notes.map((each, at) => [at, `${each.chosen ? "★ " : ""}${each.text} [${PLACES[each.placement]}]`]));
    Object.assign(list, { ariaLabel: "Candidate annotations; ★: chosen on the fit data", className: "offered" });
    list.addEventListener("change", () => {
      words.value = base.notes[list.value].text;
      place.value = base.notes[list.value].placement;
    });
    return list;
  }

  return { stage, detect, hide, checkQuestion };
}

export function select(options) {
  const made = element("select", "");
  made.append(...options.map(([value, text]) => {
    const option = element("option", "", text);
    option.value = value;
    return option;
  }));
  return made;
}
