// Read: type a prompt, see where concepts fire, what is misread, what a note changes, and what an edit changes.
import { element, button } from "/views/text.js";
import { GivenUp, newestRequest, note, cardAddress, problem } from "/app/api.js";
import { nameOf } from "/app/names.js";
import { misreadingStage, select } from "/app/misreading.js";
import { steeringPanel } from "/app/steering.js";
import { rowName } from "/views/tokens.js";
import "/views/legend.js";

const WAIT = 250;
const EXAMPLE = { text: "He steered the boat past the rocks.", task: "metaphor", target: "steered" };

export async function readPage(frame, values, status) {
  const state = initial(values, status);
  const save = () => { if (frame.isConnected) note("read", state); }; // what is still under way may end on another page
  const view = element("sae-tokens", "view"), told = element("div", ""), lists = element("div", "rows-apart");
  const form = promptForm(state, status), actions = element("div", "line actions");
  const stage = misreadingStage(state, { choose, suggest, save }), steering = steeringPanel(state, { save });
  view.listsIn = lists;
  told.setAttribute("aria-live", "polite");
  frame.className = "reading";
  frame.append(element("h1", "unseen", "Read a prompt"), form.form, told, view, actions, stage.stage, element("sae-legend", ""), steering.panel, lists);

  // ----- reading while the reader types: the newest text alone

  const readings = newestRequest();
  let suggested = "", waiting; // the strongest concept of a finding, shown until the reader chooses
  async function request() {
    readings.giveUp();
    view.classList.toggle("stale", view.reading !== undefined && view.reading.text !== state.text);
    if (!state.text.trim()) {
      told.replaceChildren(element("p", "soft", "Type something to read."));
      return;
    }
    const id = state.show || suggested, row = view.byId?.get(id);
    if (!view.reading) told.replaceChildren(element("p", "soft", "Reading …"));
    try {
      view.data = await readings.ask("/api/read", { text: state.text, also: [id, ...(row?.near ?? [])].filter(Boolean).slice(0, 16) });
      view.classList.remove("stale");
      if (id && view.chosen !== id) view.chosen = id;
      drawActions();
      told.replaceChildren();
    } catch (error) {
      if (!(error instanceof GivenUp)) told.replaceChildren(problem(error));
    }
  }
  form.text.addEventListener("input", () => {
    state.text = form.text.value;
    if (!state.text.includes(state.target)) state.target = form.target.value = ""; // of another text
    suggested = "";
    checkQuestion();
    clearTimeout(waiting);
    waiting = setTimeout(() => { save(); request(); }, WAIT);
  });
  form.target.addEventListener("change", () => ask({ target: form.target.value }));
  form.task.addEventListener("change", () => ask({ task: form.task.value }));

  function ask(values) {
    Object.assign(state, values);
    checkQuestion();
    save();
  }

  // What stands below is of another question than the form holds, or is not.
  function checkQuestion() {
    stage.checkQuestion();
    steering.checkQuestion();
  }

  // ----- the chosen concept, and the word in question

  function choose(id) {
    state.show = id;
    save();
    show(id);
  }
  function suggest(id) {
    suggested = id;
    if (id && !state.show) show(id);
  }
  function show(id) {
    view.chosen = id;
    drawActions();
    request(); // it, or its nearest, may not be there yet
  }
  view.addEventListener("choose", ({ detail }) => choose(detail));
  view.addEventListener("token", ({ detail }) => {
    form.target.value = wordAround(view.reading.pieces, detail);
    ask({ target: form.target.value });
  });

  // What can be done with the chosen concept or feature.
  function drawActions() {
    const id = state.show || view.chosen, name = id && nameOf(id);
    if (!id) {
      actions.replaceChildren();
      return;
    }
    const card = element("a", "", "card"), edit = (kind) => {
      steering.toggle(kind, id);
      steering.panel.scrollIntoView({ block: "nearest" });
    };
    card.href = cardAddress(id);
    card.setAttribute("aria-label", `Card of ${name}`);
    const hide = button("", "hide from the detector", () => stage.hide(id), `Hide ${name} from the detector`);
    const row = view.byId?.get(id);
    actions.replaceChildren(element("span", "soft", `With “${row ? rowName(row) : name}”:`), card, button("", "steer", () => edit("steer"), `Steer ${name}`), button("", "strike", () => edit("strike"), `Strike ${name}`), hide);
  }

  form.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    Object.assign(state, { task: form.task.value, target: form.target.value, note: "" });
    save();
    form.find.disabled = true;
    await stage.detect();
    form.find.disabled = false;
  });

  if (status.state === "loading") {
    told.replaceChildren(element("p", "soft", "The model is being loaded …"));
    await new Promise((resolve) => { document.addEventListener("model-ready", resolve, { once: true }); });
  }
  request();
  if (state.target || state.note || state.without.length) stage.detect();
  if (state.steer.length || state.strike.length) steering.run();
}

function initial(values, status) {
  const isNew = ![...values.keys()].length && status.tasks.includes(EXAMPLE.task), first = isNew ? EXAMPLE : {};
  const task = values.get("task") ?? first.task ?? status.tasks[0];
  return {
    text: values.get("text") ?? EXAMPLE.text, task: status.tasks.includes(task) ? task : status.tasks[0], target: values.get("target") ?? first.target ?? "",
    show: values.get("show") ?? "", without: values.getAll("without"), note: values.get("note") ?? "", place: values.get("place") ?? "end",
    steer: values.getAll("steer"), by: values.get("by") ?? "2", strike: values.getAll("strike"), as: values.get("as") === "text" ? "text" : "task",
  };
}

function promptForm(state, status) {
  const text = element("textarea", ""), target = element("input", ""), find = element("button", "main", "Find", element("span", "wide", " misreadings"));
  const task = select(status.tasks.map((name) => [name, name]));
  Object.assign(text, { rows: 2, maxLength: 8000, value: state.text, id: "prompt", spellcheck: false });
  Object.assign(target, { value: state.target, maxLength: 200, placeholder: "click a token" });
  task.value = state.task;
  find.type = "submit";
  const field = (kind, title, input) => element("label", kind, title, input);
  const form = element("form", "act", field("prompt", "Prompt", text), element("div", "line", field("", "Task", task), field("grow", "Word in question", target), find));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return { form, text, task, target, find };
}

// The word that a token is a part of.
function wordAround(pieces, at) {
  let from = at, to = at + 1;
  while (from > 0 && !/^\s/.test(pieces[from]) && /\w$/.test(pieces[from - 1])) from -= 1;
  while (to < pieces.length && /^\w/.test(pieces[to])) to += 1;
  return pieces.slice(from, to).join("").trim().replace(/^\W+|\W+$/gu, "");
}
