// The item browser: filters, search, pages, and links to single items.
// Texts from the data only ever become text nodes, never HTML.
"use strict";
(async () => {
  const PAGE = 50;
  const CHANGES = {
    fixed: ["▲", "fixed"], broken: ["▼", "broken"], right: ["✓", "stays right"],
    wrong: ["✕", "stays wrong"], unknown: ["?", "one arm only"],
  };
  const FILTERS = {
    all: ["All", () => true],
    fixed: ["Fixed", (row) => row.change === "fixed"],
    broken: ["Broken", (row) => row.change === "broken"],
    right: ["Stays right", (row) => row.change === "right"],
    wrong: ["Stays wrong", (row) => row.change === "wrong"],
    annotated: ["Annotated", (row) => row.notes.length > 0],
  };
  const byId = (id) => document.getElementById(id);
  const list = byId("items"), search = byId("search"), shown = byId("shown");

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  let data;
  try {
    data = await unpack(byId("packed-items").textContent);
  } catch (error) {
    byId("problem").hidden = false;
    byId("problem").textContent = `This browser cannot unpack the items (${error}). ` +
      "Browsers of 2023 and later can; items.jsonl in the run folder holds them, too.";
    return;
  }
  const rows = data.items;
  byId("browser").hidden = false;
  const state = { show: "all", q: "", page: 0, open: null };
  let matches = rows;

  // Half a surrogate pair has no place in an address.
  const linkName = (id) => encodeURIComponent(id.replace(/\p{Surrogate}/gu, "\uFFFD"));
  // Control characters, and those that turn the direction of what follows, are written as their codes.
  const visible = (text) => text.replace(
    /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g,
    (found) => `‹U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`,
  );
  const number = (value, places) => (value === null ? "–" : value.toFixed(places).replace("-", "−"));

  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children.map((child) => (typeof child === "string" ? visible(child) : child)));
    return made;
  }

  function searchText(row) {
    const parts = [row.id, row.group, row.change, ...[row.prompt, row.asked || []].flat().map(([text]) => text)];
    for (const answer of [row.before, row.after]) if (answer) parts.push(answer.raw, answer.output, answer.parsed);
    for (const round of row.rounds) parts.push(round.annotation);
    for (const finding of row.findings) {
      parts.push(finding.reading);
      for (const [place] of finding.features) parts.push(`#${data.features[place][0]}`, data.features[place][1]);
      for (const [place] of finding.evidence?.at(-1) ?? []) parts.push(data.concepts[place][0]);
    }
    return parts.join("\n").toLowerCase();
  }

  // ----- one item

  const prompt = (segments) => segments.map(([text, kind]) => (
    kind ? element(kind === 1 ? "mark" : "ins", "", text) : text
  ));

  function excerpt(row) {
    const made = element("span", "prompt");
    const first = row.prompt.findIndex(([, kind]) => kind);
    // A long prompt is cut so that what was misread can be seen.
    row.prompt.forEach(([text, kind], place) => {
      if (first >= 0 && place < first - 1) return;
      const cut = place < first && text.length > 60 ? "…" + text.slice(-50) : text.slice(0, 300);
      made.append(kind ? element("mark", "", cut) : visible(cut));
    });
    return made;
  }

  function summaryOf(row) {
    const [sign, text] = CHANGES[row.change];
    const finding = row.findings[0];
    const reading = element("span", "reading"), probability = element("span", "n");
    if (finding) {
      reading.append(element("span", "unseen", "reading: "), finding.reading);
      probability.append(element("span", "unseen", "p(wrong): "), number(finding.probability, 2));
    }
    const badge = element("span", `badge ${row.change}`, `${sign} ${text}`);
    return element("summary", "item-row", element("span", "", badge), element("span", "id", row.id), excerpt(row), reading, probability);
  }

  function tableOf(title, names, lines) {
    const head = element("tr", "");
    for (const [kind, name] of names) head.append(cell("th", kind, name, "col"));
    const body = element("tbody", "");
    for (const line of lines) {
      body.append(element("tr", "", ...line.map((text, place) => (
        place ? cell("td", names[place][0], text) : cell("th", names[place][0], text, "row")
      ))));
    }
    const caption = element("caption", "", element("span", "", title));
    const scroll = element("div", "scroll", element("table", "", caption, element("thead", "", head), body));
    Object.assign(scroll, { tabIndex: 0, role: "region", ariaLabel: `Table: ${title}` });
    return scroll;
  }

  function cell(name, kind, text, scope) {
    const made = element(name, kind, text);
    if (scope) made.scope = scope;
    return made;
  }

  const sign = (correct) => (correct ? "✓ right" : "✕ wrong");

  function scoreText(name, scores) {
    return scores.length ? [`${name}: ${scores.map(([text, value]) => `${text} ${number(value, 2)}`).join(", ")}`] : [];
  }

  // One arm: the prompt as it asked, what the model says, and its calibrated answer.
  function askedBlock(title, segments, answer, arm) {
    const block = element("div", "", element("h3", "", title));
    const add = (heading, text, facts) => block.append(
      element("h4", "", heading), element("p", "text", text), element("p", "small", facts.join(" · ")),
    );
    block.append(element("p", "text", ...prompt(segments)));
    if (!answer) {
      block.append(element("p", "small", "This arm has no row for the item."));
      return block;
    }
    const [, correct, rawCorrect] = arm;
    if (answer.raw !== null) {
      add("The model says", answer.raw, [sign(rawCorrect), ...scoreText(data.scoreName, answer.rawScores)]);
    }
    const facts = [sign(correct)];
    if (answer.parsed !== null && answer.parsed !== answer.output) facts.push(`read as “${answer.parsed}”`);
    add("Calibrated answer", answer.output, [...facts, ...scoreText("log-probabilities", answer.scores)]);
    return block;
  }

  function findingBlock(finding, row) {
    const view = document.createElement("sae-finding");
    view.data = {
      answer: row.before?.raw ?? row.before?.output,
      ...(finding.evidence ? concepts(finding, row) : { finding: { ...finding, features: features(finding) } }),
    };
    return view;
  }

  const features = (finding) => finding.features.map(([place, activation, weight]) => {
    const [id, label] = data.features[place];
    return { id, label, activation, weight };
  });

  // The evidence as saetask/report/evidence_data.py packs it, as the view takes it: its lines of the prompt,
  // and the words on which each concept fires, strongest first.
  function concepts(finding, row) {
    const [other, logOdds, rest, weaker, unnamed, near, lines, words, bars] = finding.evidence;
    const characters = Array.from(row.prompt.map(([text]) => text).join(""));
    const isLetter = (place) => /\p{L}/u.test(characters[place] ?? "");
    const wordAt = (number, order) => {
      const place = number < 0 ? -1 - number : number;
      const start = words[2 * place], end = start + words[2 * place + 1];
      let first = start, last = end;
      while (isLetter(first) && isLetter(first - 1)) first -= 1;
      while (isLetter(last) && isLetter(last - 1)) last += 1;
      const [text, word] = [[start, end], [first, last]].map((range) => characters.slice(...range).join(""));
      return { start, end, text, word, described: number >= 0, activation: -order };
    };
    const listed = bars.map(([place, contribution, examples, ...fired]) => {
      const [name, verdict, contexts] = data.concepts[place];
      const [told, numbers] = typeof fired[0] === "string" ? [fired[0], []] : [undefined, fired];
      return { name, verdict, contexts, contribution, examples, told, for: contribution > 0 ? finding.reading : other, tokens: numbers.map(wordAt) };
    });
    const [first = 0, last = 0] = lines;
    return {
      text: characters.slice(first, last).join(""), offset: -first, weaker, unnamed,
      finding: { ...finding, log_odds: logOdds, rest, against: other, nearest: near.map(([text, reading]) => ({ text, reading })), concepts: listed, features: [] },
    };
  }

  function roundsTable(rounds) {
    const names = [
      ["n", "Round"], ["label", "Note"], ["", "Placement"], ["n", "p(wrong) before"],
      ["n", "p(wrong) after"], ["", "Outcome"],
    ];
    return tableOf("Notes that were tried", names, rounds.map((round, place) => [
      String(place + 1), round.annotation, round.placement, number(round.before, 2),
      number(round.after, 2), round.kept ? "kept" : "dropped",
    ]));
  }

  function detailOf(row) {
    const detail = element("div", "detail");
    const add = (title, ...children) => detail.append(element("h3", "", title), ...children);
    const small = (text) => element("p", "small", text);
    const arms = new Map(row.correct.map((arm) => [arm[0], arm]));
    detail.append(element(
      "div", "answers",
      askedBlock(`The prompt as it is (${data.baseline})`, row.prompt, row.before, arms.get(data.baseline)),
      askedBlock(
        row.asked ? `The prompt with the note (${data.method})` : `No note written (${data.method})`,
        row.asked || row.prompt.map(([text]) => [text, 0]), row.after, arms.get(data.method),
      ),
    ));
    const findings = row.findings.map((finding) => findingBlock(finding, row));
    add("What was found", ...(findings.length ? findings : [small("Nothing: the prompt stays as it is.")]));
    if (row.notes.length) {
      const origin = row.notes.map(([, placement, annotator]) => [annotator, placement].filter(Boolean).join(", placed: "));
      detail.append(small(`Note written by ${origin.join("; ")}`));
    }
    if (row.rounds.length) add("Rounds of annotating", roundsTable(row.rounds));
    const results = row.correct.map(([name, correct, rawCorrect]) => {
      if (rawCorrect === null) return `${name} ${sign(correct)}`;
      return `${name} ${sign(rawCorrect)}${correct === rawCorrect ? "" : ` (calibrated ${sign(correct)})`}`;
    });
    add("All arms", small(results.join(" · ")));
    const link = element("a", "", "Link to this item");
    link.href = `#item-${linkName(row.id)}`;
    detail.append(element("p", "small", link, ` · group ${row.group || "–"} · fold ${row.fold}`));
    return detail;
  }

  function entryOf(row) {
    const details = element("details", "", summaryOf(row));
    const entry = element("li", "", details);
    entry.id = `item-${row.id}`;
    details.addEventListener("toggle", () => {
      fill(details, row);
      if (details.open) state.open = row;
      else if (state.open === row) state.open = null;
      writeAddress();
    });
    return entry;
  }

  function fill(details, row) {
    // Built when it is first opened: closed items cost nothing.
    if (details.open && details.children.length === 1) details.append(detailOf(row));
  }

  // ----- the list

  function filter() {
    const wanted = state.q.trim().toLowerCase();
    const test = FILTERS[state.show][1];
    matches = rows.filter((row) => {
      if (!test(row)) return false;
      if (!wanted) return true;
      row.text ??= searchText(row);
      return row.text.includes(wanted);
    });
  }

  const lastPage = () => Math.max(0, Math.ceil(matches.length / PAGE) - 1);

  function draw() {
    state.page = Math.min(Math.max(0, state.page), lastPage());
    list.replaceChildren(...matches.slice(state.page * PAGE, (state.page + 1) * PAGE).map(entryOf));
    summaries().forEach((summary, place) => { summary.tabIndex = place ? -1 : 0; });
    const word = rows.length === 1 ? "item" : "items";
    shown.textContent = `${matches.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${word}`;
    byId("pager").hidden = lastPage() === 0;
    byId("page").textContent = `Page ${state.page + 1} of ${lastPage() + 1}`;
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = state.page === lastPage();
    for (const input of document.querySelectorAll("#filters input")) input.checked = input.value === state.show;
    if (search.value !== state.q) search.value = state.q;
  }

  const summaries = () => [...list.querySelectorAll(":scope > li > details > summary")];

  function select(change) {
    Object.assign(state, { page: 0, open: null }, change);
    filter();
    draw();
    writeAddress();
  }

  // One stop of the Tab key for all items; arrow keys go from one to the next.
  function focusRow(place, scrolled = false) {
    const every = summaries();
    if (!every.length) return;
    for (const summary of every) summary.tabIndex = -1;
    const wanted = every.at(Math.min(place, every.length - 1));
    wanted.tabIndex = 0;
    wanted.focus({ preventScroll: scrolled });
  }

  function turn(step, place) {
    if (state.page + step < 0 || state.page + step > lastPage()) return;
    state.page += step;
    state.open = null;
    draw();
    writeAddress();
    if (place === 0) byId("items-heading").scrollIntoView();
    focusRow(place);
  }

  list.addEventListener("keydown", (event) => {
    const every = summaries(), place = every.indexOf(event.target);
    if (place < 0 || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const moves = {
      ArrowDown: () => (place + 1 < every.length ? focusRow(place + 1) : turn(1, 0)),
      ArrowUp: () => (place > 0 ? focusRow(place - 1) : turn(-1, -1)),
      ArrowRight: () => { event.target.parentElement.open = true; },
      ArrowLeft: () => { event.target.parentElement.open = false; },
      Home: () => focusRow(0),
      End: () => focusRow(-1),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  });
  list.addEventListener("focusin", (event) => {
    if (!event.target.matches("summary.item-row")) return;
    for (const summary of summaries()) summary.tabIndex = summary === event.target ? 0 : -1;
  });

  // ----- the address: #item-ID, #show=wrong, #q=words, #page=2, joined by "&"

  function writeAddress() {
    const parts = [];
    if (state.open) parts.push(`item-${linkName(state.open.id)}`);
    if (state.show !== "all") parts.push(`show=${state.show}`);
    if (state.q) parts.push(`q=${linkName(state.q)}`);
    if (state.page) parts.push(`page=${state.page + 1}`);
    const [here, hash = ""] = location.href.split("#");
    // The address of another section stays until the reader does something with the items.
    if (!parts.length && !isOurs(hash)) return;
    history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : here);
  }

  const isOurs = (hash) => /^(item-|show=|q=|page=)/.test(hash);

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  function readAddress() {
    const hash = location.hash.slice(1);
    if (!isOurs(hash)) return false;
    Object.assign(state, { show: "all", q: "", page: 0, open: null });
    let wanted = null;
    for (const part of hash.split("&")) {
      const [name, value = ""] = part.split(/=(.*)/s);
      if (part.startsWith("item-")) wanted = linkName(decoded(part.slice(5)));
      else if (name === "show" && Object.hasOwn(FILTERS, value)) state.show = value;
      else if (name === "q") state.q = decoded(value);
      else if (name === "page") state.page = (Number.parseInt(value, 10) || 1) - 1;
    }
    filter();
    const row = wanted === null ? null : rows.find((candidate) => linkName(candidate.id) === wanted);
    if (row) openItem(row);
    else {
      draw();
      if (wanted !== null) shown.textContent += `; there is no item “${visible(decoded(wanted))}”`;
      byId("items-heading").scrollIntoView();
      byId("items-heading").focus({ preventScroll: true }); // Tab goes on from there
    }
    return true;
  }

  function openItem(row) {
    if (!matches.includes(row)) {
      Object.assign(state, { show: "all", q: "" });
      filter();
    }
    const place = matches.indexOf(row);
    state.page = Math.floor(place / PAGE);
    state.open = row;
    draw();
    const details = list.children[place % PAGE].firstChild;
    details.open = true;
    fill(details, row);
    focusRow(place % PAGE, true);
    details.scrollIntoView();
  }

  for (const [value, [text, test]] of Object.entries(FILTERS)) {
    const input = element("input", "");
    Object.assign(input, { type: "radio", name: "show", value });
    input.addEventListener("change", () => select({ show: value }));
    const label = element("label", "", input, `${text} ${rows.filter(test).length.toLocaleString("en")}`);
    byId("filters").append(label);
  }
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => select({ q: search.value }), 150);
  });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("previous").addEventListener("click", () => turn(-1, 0));
  byId("next").addEventListener("click", () => turn(1, 0));
  window.addEventListener("hashchange", readAddress);
  if (!readAddress()) draw();
})();
