// What all views share: elements whose texts are only ever text nodes, numbers, marked texts.

// Control characters, and those that turn the direction of what follows, are written as their codes.
export function visible(text) {
  return String(text).replace(
    /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g,
    (found) => `‹U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`,
  );
}

export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  const wanted = children.flat().filter((child) => child !== null && child !== undefined && child !== "");
  made.append(...wanted.map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

export function button(className, text, act, label = "") {
  const made = element("button", className, text);
  made.type = "button";
  if (label) made.setAttribute("aria-label", visible(label));
  made.addEventListener("click", act);
  return made;
}

export function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

export function number(value, places = 2) {
  return value === null || value === undefined ? "–" : value.toFixed(places).replace("-", "−");
}

export function signed(value) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
}

export function percent(share, places = 1) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(places).replace("-", "−")} %`;
}

// No finding is certain: what rounds to 100 % is said to be above 99 %.
export function probability(share) {
  if (share > 0.994) return "> 99 %";
  return share < 0.005 ? "< 1 %" : percent(share, 0);
}

// A table of lines; a heading is [kind, text], kinds are classes of the column.
export function tableOf(title, headings, lines) {
  const cell = (name, kind, content, scope) => {
    const made = element(name, kind, content);
    if (scope) made.scope = scope;
    return made;
  };
  const head = element("tr", "", headings.map(([kind, text]) => cell("th", kind, text, "col")));
  const rows = lines.map((line) => element("tr", "", line.map((content, place) => (
    place ? cell("td", headings[place][0], content) : cell("th", headings[place][0], content, "row")
  ))));
  const table = element("table", "sv-table", element("caption", "", title), element("thead", "", head), element("tbody", "", rows));
  const scroll = element("div", "sv-scroll", table);
  Object.assign(scroll, { tabIndex: 0, role: "region", ariaLabel: visible(`Table: ${title}`) });
  return scroll;
}

// A context of the dictionary; the firing token stands between « and ».
export function context(text) {
  const pieces = text.split(/«(.*?)»/s);
  return element("li", "", pieces.map((piece, at) => (at % 2 ? element("mark", "sv-here", piece) : piece)));
}

// A text cut where its marks begin and end. Positions count characters, and not UTF-16 units.
export function markedText(text, marks, classOf) {
  const characters = Array.from(text), kinds = new Uint8Array(characters.length);
  for (const { start, end, kind } of marks) {
    for (let at = Math.max(0, start); at < Math.min(end, characters.length); at += 1) kinds[at] |= kind;
  }
  const made = element("p", "sv-text");
  for (let start = 0, end = 0; start < characters.length; start = end) {
    while (end < characters.length && kinds[end] === kinds[start]) end += 1;
    const piece = characters.slice(start, end).join("");
    made.append(kinds[start] ? element("mark", classOf(kinds[start]), piece) : visible(piece));
  }
  return made;
}

export function shortName(name) {
  return name.split(" (")[0];
}

const VERDICTS = { validated: "✓", "named by a reader": "✎", "refused by a reader": "✕" };

export function verdictSign(verdict) {
  return VERDICTS[verdict] ?? "○";
}

// The verdict on a name: a sign and its words, so that no colour is needed.
export function verdictBadge(verdict) {
  return element("span", `sv-verdict${verdict === "validated" ? " sv-good" : ""}`, `${verdictSign(verdict)} ${verdict || "not validated"}`);
}

export function define(name, kind) {
  if (!customElements.get(name)) customElements.define(name, kind);
}
