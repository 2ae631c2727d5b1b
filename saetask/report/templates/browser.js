// The item browser. Texts from the data only ever become text nodes, never HTML.
"use strict";
(() => {
  const rows = JSON.parse(document.getElementById("item-data").textContent);
  const list = document.getElementById("items");
  const search = document.getElementById("search");

  const FILTERS = {
    "All": () => true,
    "Fixed": (row) => row.change === "fixed",
    "Broken": (row) => row.change === "broken",
    "Unchanged": (row) => row.change === "right" || row.change === "wrong",
    "Annotated": (row) => row.annotations.length > 0,
  };
  const CHANGES = {
    fixed: "fixed", broken: "broken", right: "stays right", wrong: "stays wrong", unknown: "one arm only",
  };
  let active = "All";

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };
  const number = (value, places) => (value === null ? "–" : value.toFixed(places).replace("-", "−"));

  function searchText(row) {
    const parts = [row.id, row.group, row.segments.map(([text]) => text).join("")];
    for (const answer of [row.before, row.after]) if (answer) parts.push(answer.output, answer.parsed);
    for (const note of row.annotations) parts.push(note.text);
    for (const round of row.rounds) parts.push(round.annotation);
    for (const finding of row.findings) {
      parts.push(finding.reading, finding.text);
      for (const feature of finding.features) parts.push(`#${feature.id}`, feature.label);
    }
    return parts.join("\n").toLowerCase();
  }

  function excerpt(row) {
    const prompt = element("span", "");
    const first = row.segments.findIndex(([, marked]) => marked);
    // A long prompt is cut so that what was misread can be seen.
    row.segments.forEach(([text, marked], place) => {
      const shown = place < first && text.length > 60 ? "…" + text.slice(-50) : text;
      if (first < 0 || place >= first - 1) {
        prompt.append(marked ? element("mark", "", shown) : shown.slice(0, 300));
      }
    });
    return prompt;
  }

  function summaryOf(row) {
    const finding = row.findings[0];
    const probability = element("span", "n", finding ? number(finding.probability, 2) : "");
    return element(
      "summary", "item-row",
      element("span", "", element("span", `badge ${row.change}`, CHANGES[row.change])),
      element("span", "", row.id), excerpt(row),
      element("span", "", finding ? finding.reading : ""), probability,
    );
  }

  function answerBlock(title, answer, correct) {
    const block = element("div", "", element("h4", "", title));
    if (!answer) {
      block.append(element("p", "small", "This arm has no row for the item."));
      return block;
    }
    const facts = [correct ? "right" : "wrong"];
    if (answer.parsed !== null) facts.push(`read as “${answer.parsed}”`);
    const scores = Object.entries(answer.scores).map(([name, value]) => `${name} ${number(value, 2)}`);
    if (scores.length) facts.push(`log-likelihoods: ${scores.join(", ")}`);
    block.append(element("p", "text", answer.output), element("p", "small", facts.join(" · ")));
    return block;
  }

  function findingBlock(finding) {
    const probability = number(finding.probability, 2);
    const reading = `“${finding.text}”: the features support “${finding.reading}”`;
    const head = [reading, `p(wrong) ${probability}`, finding.detector].filter(Boolean).join(" · ");
    const body = element("tbody", "");
    for (const feature of finding.features) {
      body.append(element(
        "tr", "", element("td", "n", `#${feature.id}`),
        element("td", "label", feature.label || "no label"),
        element("td", "n", number(feature.activation, 3)), element("td", "n", number(feature.weight, 3)),
      ));
    }
    const names = [["n", "Feature"], ["", "Label"], ["n", "Activation"], ["n", "Weight"]];
    return element("div", "", element("p", "", head), tableOf(names, body));
  }

  function tableOf(names, body) {
    const header = element("tr", "", ...names.map(([kind, name]) => element("th", kind, name)));
    return element("div", "scroll", element("table", "", element("thead", "", header), body));
  }

  function roundsTable(rounds) {
    const body = element("tbody", "");
    rounds.forEach((round, place) => {
      body.append(element(
        "tr", "", element("td", "n", String(place + 1)), element("td", "label", round.annotation),
        element("td", "", round.placement), element("td", "n", number(round.failure_before, 2)),
        element("td", "n", number(round.failure_after, 2)), element("td", "", round.kept ? "kept" : "dropped"),
      ));
    });
    const names = [
      ["n", "Round"], ["", "Annotation"], ["", "Placement"], ["n", "p(wrong) before"],
      ["n", "p(wrong) after"], ["", "Outcome"],
    ];
    return tableOf(names, body);
  }

  function detailOf(row) {
    const detail = element("div", "detail", element("h4", "", "Original prompt"));
    const prompt = element("p", "text");
    for (const [text, marked] of row.segments) prompt.append(marked ? element("mark", "", text) : text);
    detail.append(prompt, element("h4", "", "Misunderstandings"));
    detail.append(...row.findings.map(findingBlock));
    if (!row.findings.length) detail.append(element("p", "small", "None found."));
    detail.append(element("h4", "", "Annotation"));
    for (const note of row.annotations) {
      const origin = [note.placement, note.annotator].filter(Boolean).join(" · ");
      detail.append(element("p", "text", note.text), element("p", "small", origin));
    }
    if (!row.annotations.length) detail.append(element("p", "small", "None written."));
    if (row.rounds.length) detail.append(element("h4", "", "Rounds of annotating"), roundsTable(row.rounds));
    detail.append(element(
      "div", "answers", answerBlock("Answer before (original)", row.before, row.correct.original),
      answerBlock("Answer after (saetask)", row.after, row.correct.saetask),
    ));
    if (row.annotations.length && row.after) {
      const asked = element("details", "", element("summary", "small", "Prompt as asked again"));
      asked.append(element("p", "text", row.after.prompt));
      detail.append(asked);
    }
    const arms = Object.entries(row.correct).map(([name, correct]) => `${name} ${correct ? "✓" : "✗"}`);
    const origin = [row.group && `group ${row.group}`, row.fold && `fold ${row.fold}`].filter(Boolean);
    detail.append(element("p", "small", ["All arms: " + arms.join(", "), ...origin].join(" · ")));
    return detail;
  }

  const entries = rows.map((row) => {
    const item = element("details", "item", summaryOf(row));
    // Built when it is first opened: thousands of closed items cost nothing.
    item.addEventListener("toggle", () => item.append(detailOf(row)), { once: true });
    list.append(item);
    return { row, item, text: searchText(row) };
  });

  function update() {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const { row, item, text } of entries) {
      item.hidden = !(FILTERS[active](row) && text.includes(wanted));
      shown += item.hidden ? 0 : 1;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} items`;
    for (const button of document.querySelectorAll("#filters button")) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === active));
    }
  }

  for (const [name, test] of Object.entries(FILTERS)) {
    const button = element("button", "", `${name} ${rows.filter(test).length}`);
    button.type = "button";
    button.dataset.filter = name;
    button.addEventListener("click", () => { active = name; update(); });
    document.getElementById("filters").append(button);
  }
  search.addEventListener("input", update);
  update();
})();
