// Dictionary: search by words or by an example sentence, browse, and open cards.
import { element, button, percent, verdictBadge } from "/views/text.js";
import { get, newestRequest, note, address, cardAddress, problem } from "/app/api.js";
import { judge, standing } from "/app/verdicts.js";
import { rowName, rowNote } from "/views/tokens.js";
import "/views/card.js";

const PAGE = 50;
const SORTS = { number: "by number", rarest: "rarest first", commonest: "commonest first", name: "by name" };
const VERDICTS = ["", "validated", "weak", "not confirmed", "no known concept", "too rare", "named by a reader", "refused by a reader"];

function choice(values, chosen) {
  const made = element("select", "");
  made.append(...Object.entries(values).map(([value, text]) => {
    const option = element("option", "", text);
    option.value = value;
    return option;
  }));
  made.value = chosen;
  return made;
}

export async function dictionaryPage(frame, values, status) {
  const state = {
    words: values.get("words") ?? "", example: values.get("example") ?? "", card: values.get("card") ?? "",
    sort: values.get("sort") ?? "number", verdict: values.get("verdict") ?? "", page: Number(values.get("page")) || 0,
  };
  const list = element("div", ""), card = element("div", "");
  list.setAttribute("aria-live", "polite");
  const search = element("input", ""), example = element("input", ""), sort = choice(SORTS, state.sort);
  Object.assign(search, { type: "search", value: state.words, maxLength: 200, placeholder: "animals, money, past tense" });
  Object.assign(example, { type: "search", value: state.example, maxLength: 2000, placeholder: "She threw the ball to her dog." });
  const verdict = choice(Object.fromEntries(VERDICTS.map((each) => [each, each || "any name"])), state.verdict);
  const label = (text, input, grow) => element("label", grow ? "grow" : "", text, input);
  const form = element("form", "line", label("Search by words", search, true), label("or by an example sentence", example, true), label("Names", verdict), label("Order", sort));
  const submit = element("button", "main", "Search");
  submit.type = "submit";
  form.append(submit);
  frame.append(element("h1", "", `Dictionary ${status.dictionary.name}`),
    element("p", "soft", `${status.dictionary.n_features.toLocaleString("en")} features, ${status.dictionary.n_concepts} concepts`),
    form, element("div", "split", list, card));
  const save = (push) => note("dictionary", state, push);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    Object.assign(state, { words: search.value.trim(), example: example.value.trim(), page: 0 });
    save(true);
    fill();
  });
  for (const [input, name] of [[sort, "sort"], [verdict, "verdict"]]) {
    input.addEventListener("change", () => {
      Object.assign(state, { [name]: input.value, words: "", example: "", page: 0 });
      Object.assign(search, { value: "" });
      Object.assign(example, { value: "" });
      save(true);
      fill();
    });
  }

  const mark = () => {
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.id === state.card) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const entry = (row) => {
    const link = element("a", "", element("strong", "", rowName(row)), " ", verdictBadge(row.verdict), element("span", "soft", ` · ${row.id.startsWith("feature:") && row.density !== undefined ? `${percent(row.density, 2)} of tokens · ` : ""}${rowNote(row)}`));
    link.href = address("dictionary", { ...state, card: row.id });
    link.dataset.id = row.id;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      state.card = row.id;
      save(true);
      open();
    });
    return element("li", "", link);
  };
  const section = (title, rows) => (rows.length ? [element("h2", "", title), element("ul", "list", rows.map(entry))] : []);

  const readings = newestRequest();
  let turn = 0;
  async function fill() {
    const mine = turn += 1;
    readings.giveUp();
    list.replaceChildren(element("p", "soft", "…"));
    let shown;
    try {
      shown = await found();
    } catch (error) {
      shown = [problem(error)];
    }
    if (mine !== turn) return; // something else was asked for
    list.replaceChildren(...shown);
    mark();
  }

  // What is listed: by an example sentence, by words, or page by page.
  async function found() {
    if (state.example) {
      const reading = await readings.ask("/api/read", { text: state.example });
      return [element("p", "soft", "What stands out in this sentence, most first: strong in it, and rare in the corpus."), ...section("Concepts", reading.concepts), ...section("Features", reading.features)];
    }
    if (state.words) {
      const { concepts, features } = await get("/api/search", { words: state.words });
      const every = [...section("Concepts", concepts), ...section("Features", features)];
      return every.length ? every : [element("p", "", "Nothing has these words.")];
    }
    const { n, features } = await get("/api/features", { sort: state.sort, verdict: state.verdict, offset: state.page * PAGE, limit: PAGE });
    const concepts = state.page || state.verdict ? [] : await get("/api/concepts");
    const last = Math.max(0, Math.ceil(n / PAGE) - 1);
    const step = (text, by) => {
      const each = button("", text, () => { state.page += by; save(true); fill(); });
      each.disabled = state.page + by < 0 || state.page + by > last;
      return each;
    };
    return [...section(`Concepts (${concepts.length})`, concepts), ...section(`Features (${n.toLocaleString("en")})`, features),
      element("nav", "line", step("← Previous", -1), element("span", "", `Page ${state.page + 1} of ${last + 1}`), step("Next →", 1))];
  }

  async function open() {
    mark();
    if (!state.card) {
      card.replaceChildren(element("p", "soft", "Choose a concept or a feature."));
      return;
    }
    try {
      const isFeature = state.card.startsWith("feature:"), id = isFeature ? state.card.slice(8) : state.card;
      const document_ = await (isFeature ? get("/api/feature", { number: id }) : get("/api/concept", { name: id }));
      const view = element("sae-card", ""), kind = isFeature ? "feature" : "concept", said = await standing(kind, id);
      view.setAttribute("judge", "");
      if (said) view.setAttribute("verdict", said.verdict);
      view.link = cardAddress;
      view.data = document_;
      const name = isFeature ? document_.row.name ?? "" : document_.name;
      const told = element("div", "");
      view.addEventListener("judge", async ({ detail }) => {
        if (await judge(told, { kind, id, name, ...detail })) open();
      });
      const yours = said ? element("p", "soft", `Your verdict: ${said.verdict}${said.new_name ? ` to “${said.new_name}”` : ""}, ${said.date}. Used by the next \`saetask dictionary name\`${said.verdict === "strike" ? " and by fits" : ""}.`) : null;
      const reading = element("a", "", "See it in a prompt");
      reading.href = address("read", { show: state.card });
      card.replaceChildren(element("div", "panel", view, ...(yours ? [yours] : []), told, element("p", "", reading)));
    } catch (error) {
      card.replaceChildren(problem(error));
    }
  }
  await Promise.all([fill(), open()]);
}
