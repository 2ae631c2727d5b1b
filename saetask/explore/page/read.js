// Read: type a prompt, see where concepts fire, what is misread, and what a note changes.
import { element, button, number, percent, probability } from "/views/text.js";
import { ask, note, cardAddress, problem } from "/app/api.js";
import { judge } from "/app/verdicts.js";
import "/views/tokens.js";
import "/views/finding.js";

const WAIT = 250;
const PLACES = { end: "at the end", start: "at the beginning", inline: "after the word", system: "as system message" };
const EXAMPLE = "The news hit her like a train, and she could not swallow it.";

function field(text, input, grow = false) {
  return element("label", grow ? "grow" : "", text, input);
}

// The likelihoods of the candidates, before and after side by side.
function candidates(title, asked, other) {
  const rows = asked.candidates.map((each, at) => {
    const bar = element("span", "sv-bar sv-for");
    bar.style.width = `${(100 * each.share).toFixed(1)}%`;
    const cells = [element("th", "", each.text), element("td", "n", number(each.score)), element("td", "n", percent(each.share)), element("td", "sv-side", bar), element("td", "n", number(each.calibrated))];
    cells[0].scope = "row";
    if (other && other.candidates[at] && Math.abs(each.share - other.candidates[at].share) >= 0.005) cells[2].classList.add("changed");
    return element("tr", "", cells);
  });
  const heads = ["Answer", "Log-likelihood", "Share", "", "Calibrated"].map((text) => {
    const made = element(text ? "th" : "td", "", text);
    if (text) made.scope = "col";
    return made;
  });
  return element("section", "", element("h3", "", title),
    element("p", "answer", "says ", element("strong", "", asked.answer), asked.calibrated_answer === asked.answer ? "" : ` (calibrated: ${asked.calibrated_answer})`),
    element("p", "sv-text", asked.prompt),
    element("table", "share", element("caption", "", "Raw scores of the candidate answers, in nats"), element("thead", "", element("tr", "", heads)), element("tbody", "", rows)));
}

export async function readPage(frame, values, status) {
  const state = {
    text: values.get("text") ?? EXAMPLE, task: values.get("task") ?? status.tasks[0], target: values.get("target") ?? "",
    show: values.get("show") ?? "", without: values.getAll("without"), note: values.get("note") ?? "", place: values.get("place") ?? "end",
  };
  const save = () => note("read", state);
  const text = element("textarea", ""), view = element("sae-tokens", "view"), told = element("div", "");
  Object.assign(text, { rows: 3, maxLength: 8000, value: state.text, id: "prompt", spellcheck: false });
  const task = element("select", ""), target = element("input", "");
  task.append(...status.tasks.map((name) => {
    const option = element("option", "", name);
    option.value = name;
    return option;
  }));
  if (status.tasks.includes(state.task)) task.value = state.task;
  Object.assign(target, { value: state.target, maxLength: 200, placeholder: "click a token, or type it" });
  const find = element("button", "main", "Find misreadings"), finding = element("div", "");
  find.type = "submit";
  const form = element("form", "line", field("Task", task), field("Word in question, where the task has one", target, true), find);
  frame.append(
    element("h1", "", "Read a prompt"),
    field("Prompt", text), told, view,
    element("section", "panel", element("h2", "", "What does the model misread in it?"), form, finding),
  );
  told.setAttribute("aria-live", "polite");

  // ----- reading while the reader types: one request at a time, the newest text next

  let running = false, wanted = null, waiting;
  async function read() {
    if (running) return;
    running = true;
    while (wanted !== null) {
      const body = wanted;
      wanted = null;
      try {
        const reading = await ask("/api/read", body);
        if (wanted !== null) continue;
        view.data = reading;
        if (state.show && view.chosen !== state.show) view.chosen = state.show;
        told.replaceChildren();
      } catch (error) {
        told.replaceChildren(problem(error));
      }
    }
    running = false;
  }
  function request() {
    if (!state.text.trim()) {
      told.replaceChildren(element("p", "soft", "Type something to read."));
      return;
    }
    const row = view.byId?.get(state.show);
    wanted = { text: state.text, also: [state.show, ...(row?.near ?? [])].filter(Boolean).slice(0, 16) };
    if (!view.reading) told.replaceChildren(element("p", "soft", "Reading …"));
    read();
  }
  text.addEventListener("input", () => {
    state.text = text.value;
    clearTimeout(waiting);
    waiting = setTimeout(() => { save(); request(); }, WAIT);
  });
  view.addEventListener("choose", ({ detail }) => {
    state.show = detail;
    save();
    request(); // its nearest may not be there yet
  });
  view.addEventListener("token", ({ detail }) => {
    const pieces = view.reading.pieces;
    let from = detail, to = detail + 1; // the word that the token is a part of
    while (from > 0 && !/^\s/.test(pieces[from]) && /\w$/.test(pieces[from - 1])) from -= 1;
    while (to < pieces.length && /^\w/.test(pieces[to])) to += 1;
    target.value = pieces.slice(from, to).join("").trim().replace(/^\W+|\W+$/gu, "");
    state.target = target.value;
    save();
  });

  // ----- misreadings, their evidence, and notes

  async function detect() {
    finding.replaceChildren(element("p", "soft", "Asking the model …"));
    find.disabled = true;
    try {
      const body = { task: state.task, text: state.text, target: state.target.trim() || null };
      const base = await ask("/api/detect", body);
      const struck = state.without.length ? await ask("/api/detect", { ...body, without: state.without }) : null;
      finding.replaceChildren(...shown(base, struck, body));
    } catch (error) {
      finding.replaceChildren(problem(error));
    }
    find.disabled = false;
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    Object.assign(state, { task: task.value, target: target.value, note: "" });
    save();
    detect();
  });

  function shown(base, struck, body) {
    const { detection } = struck ?? base, parts = [];
    const said = detection.answer === detection.calibrated_answer ? "" : `, calibrated “${detection.calibrated_answer}”`;
    parts.push(element("p", "", "The model says ", element("strong", "", `“${detection.answer}”`), `${said}. The calibrated answer is wrong with a probability of ${probability(detection.failure)}.`));
    if (detection.preference) parts.push(element("p", "soft", `${detection.preference}.`));
    if (struck) parts.push(strikes(base));
    if (!detection.misunderstandings.length) parts.push(element("p", "", `Nothing is misread: ${detection.reason}.`));
    for (const found of detection.misunderstandings) parts.push(findingBlock(detection, found));
    parts.push(noteBlock(base, body));
    return parts;
  }

  // What changes when concepts are hidden from the detector, which stays as it was fitted.
  function strikes(base) {
    const chips = state.without.map((id) => element("span", "chip", id, button("", "put back", () => strike(id), `Put ${id} back`)));
    const before = base.detection, found = before.misunderstandings[0];
    const text = found ? `a misreading (margin ${number(found.log_odds)}, p(wrong) ${probability(before.failure)})` : `no misreading (p(wrong) ${probability(before.failure)})`;
    return element("div", "", element("p", "", "Hidden from the detector: ", chips), element("p", "soft", `With them it found ${text}. Below is what it finds without them; it was not fitted anew.`));
  }

  function strike(id) {
    state.without = state.without.includes(id) ? state.without.filter((each) => each !== id) : [...state.without, id];
    save();
    detect();
  }

  function findingBlock(detection, found) {
    const view_ = element("sae-finding", "");
    view_.data = { text: detection.prompt, offset: 0, answer: detection.answer, calibrated_answer: detection.calibrated_answer, finding: found };
    for (const cell of view_.querySelectorAll("[data-concept]")) {
      const id = cell.dataset.concept, card = element("a", "", "card");
      card.href = cardAddress(id);
      card.setAttribute("aria-label", `Card of ${id}`);
      cell.append(" ", card, " ", button("", "hide", () => strike(id), `Hide ${id} from the detector`));
    }
    const verdict = element("div", "line");
    Object.assign(verdict, { role: "group", ariaLabel: "Your verdict on this finding" });
    for (const [name, label] of [["right", "✓ finding is right"], ["wrong", "✕ finding is wrong"]]) {
      verdict.append(button("", label, async () => {
        const id = `${state.task}:${found.reading}:${found.text}:${detection.prompt}`.slice(0, 180);
        await judge(verdict, { kind: "finding", id, name: found.reading, verdict: name, text: detection.prompt });
      }));
    }
    return element("div", "", view_, verdict);
  }

  function noteBlock(base, body) {
    const made = element("section", ""), result = element("div", "two");
    result.setAttribute("aria-live", "polite");
    const words = element("textarea", ""), place = element("select", ""), go = element("button", "main", "Ask again with this note");
    Object.assign(words, { rows: 2, maxLength: 2000, required: true, value: state.note || base.notes[0]?.text || "" });
    place.append(...Object.entries(PLACES).map(([value, label]) => {
      const option = element("option", "", label);
      option.value = value;
      return option;
    }));
    place.value = state.note ? state.place : base.notes[0]?.placement ?? "end";
    go.type = "submit";
    const offered = element("select", "");
    offered.append(...base.notes.map((each, at) => {
      const option = element("option", "", `${each.chosen ? "★ " : ""}${each.text} [${PLACES[each.placement]}]`);
      option.value = at;
      return option;
    }));
    offered.addEventListener("change", () => {
      const each = base.notes[offered.value];
      words.value = each.text;
      place.value = each.placement;
    });
    const asking = element("form", "", base.notes.length ? element("div", "line", field("Candidate annotations (★: chosen on the fit data)", offered, true)) : element("p", "soft", "No annotation follows from the evidence; you may write one."),
      element("div", "line", field("Note, to accept or edit", words, true), field("Place", place), go));
    asking.addEventListener("submit", async (event) => {
      event.preventDefault();
      Object.assign(state, { note: words.value, place: place.value });
      save();
      await again();
    });
    async function again() {
      go.disabled = true;
      try {
        const both = await ask("/api/ask", { ...body, note: { text: words.value, placement: place.value } });
        result.replaceChildren(candidates("Before", both.before, both.after), candidates("With the note", both.after, both.before));
      } catch (error) {
        result.replaceChildren(problem(error));
      }
      go.disabled = false;
    }
    made.append(element("h3", "", "Write it into the prompt, and ask again"), asking, result);
    result.append(candidates("As it is", base.asked));
    if (state.note) again();
    return made;
  }

  request();
  if (values.has("target") || values.has("note") || values.has("without")) detect();
}
