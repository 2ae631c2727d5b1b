// The concepts behind a finding: its lines with the words that they fire on, bars for both sides, contexts.
// `evidence` is as `evidence_data` in saetask/report/evidence_data.py returns it, `concepts` as its table;
// `element` and `tableOf` are those of browser.js.
"use strict";
function evidenceBlock(evidence, reading, prompt, concepts, element, tableOf) {
  const [other, logOdds, rest, [nWeaker, weaker], lines, words, bars] = evidence;
  // Positions count characters, and not UTF-16 units.
  const characters = Array.from(prompt);
  const wordAt = (place) => characters.slice(words[2 * place], words[2 * place] + words[2 * place + 1]).join("");
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const shortName = (name) => name.split(" (")[0];

  function markedLines() {
    const sides = new Uint8Array(characters.length);
    for (const [, adds, ...fired] of bars) {
      for (const place of fired) {
        const start = words[2 * place], end = start + words[2 * place + 1];
        for (let at = start; at < end; at += 1) sides[at] |= adds > 0 ? 1 : 2;
      }
    }
    const made = element("p", "text");
    const [first, last] = lines;
    for (let start = first, end = first; start < last; start = end) {
      while (end < last && sides[end] === sides[start]) end += 1;
      const text = characters.slice(start, end).join("");
      made.append(element(sides[start] ? "mark" : "span", ["", "for", "against", "for against"][sides[start]], text));
    }
    return made;
  }

  function barsTable() {
    const rows = bars.map(([place, adds, ...fired]) => {
      const [name, verdict] = concepts[place];
      return [name, adds, verdict, fired.map(wordAt).join(", ") || "(less than usual)"];
    });
    if (nWeaker) rows.push([nWeaker === 1 ? "1 weaker concept" : `${nWeaker} weaker concepts`, weaker, "", ""]);
    if (rest !== null) rows.push(["everything else", rest, "", ""]);
    const largest = Math.max(...rows.map(([, adds]) => Math.abs(adds)), 1e-9);
    const bar = (adds, side) => {
      const made = element("span", `bar ${side}`);
      made.style.width = `${(100 * Math.abs(adds)) / largest}%`;
      return made;
    };
    const names = [
      ["concept", "Concept"], ["side left", other ? `Speaks for ${other}` : `Speaks against ${reading}`],
      ["side", `Speaks for ${reading}`], ["n", "Adds"], ["", "Its name is"], ["fired", "Fires on"],
    ];
    return tableOf(`Concepts behind it, by what they add to the log-odds of “${reading}”`, names, rows.map(
      ([name, adds, verdict, fired]) => [
        name, adds < 0 ? bar(adds, "against") : "", adds > 0 ? bar(adds, "for") : "", signed(adds), verdict, fired,
      ],
    ));
  }

  function sentences() {
    const told = [];
    if (logOdds === null) return told;
    const odds = Math.exp(Math.min(Math.abs(logOdds), 50)), side = logOdds > 0 ? "for" : "against";
    const size = odds > 1000 ? "over 1000" : `about ${Number(odds.toPrecision(2))}`;
    told.push(`Margin ${signed(logOdds)}: ${size} to 1 ${side} “${reading}”, by the features alone.`);
    const [place, adds] = bars[0];
    if (adds > 0 && logOdds > 0) {
      const left = logOdds - adds, without = other ? `say “${other}”` : `no longer say “${reading}”`;
      told.push(`Without “${shortName(concepts[place][0])}” the features would ` +
        `${left > 0 ? `still say “${reading}”` : without} (${signed(left)}).`);
    }
    return told;
  }

  // The strongest concept of each side: the first one that adds, the first one that takes away.
  function contexts() {
    const strongest = [bars.find(([, adds]) => adds > 0), bars.find(([, adds]) => adds <= 0)].filter(Boolean);
    return strongest.filter(([place]) => concepts[place][2].length).map(([place]) => {
      const [name, , texts] = concepts[place];
      const made = element("ul", "contexts");
      for (const text of texts) {
        const pieces = text.split(/«(.*?)»/s);
        made.append(element("li", "", ...pieces.map((piece, at) => (at % 2 ? element("mark", "", piece) : piece))));
      }
      return element("div", "", element("h4", "", `“${shortName(name)}” fires in`), made);
    });
  }

  const told = sentences().map((text) => element("p", "small", text));
  const against = other ? `for “${other}”` : `against “${reading}”`;
  const key = element("p", "small", `Underlined words speak for “${reading}”, those on a broken line ${against}.`);
  return [...(lines.length ? [markedLines(), key] : []), barsTable(), ...told, element("div", "answers", ...contexts())];
}
