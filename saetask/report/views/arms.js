// <sae-arms>: the arms of a run, raw and calibrated accuracy with intervals, as a plot and a table.
//
// `data` is {arms, method, baseline}: `arms` as in a run's summary.json.
import { element, svg, tableOf, percent, define } from "./text.js";

const ROW = 34, LEFT = 160, WIDTH = 640, TOP = 26;

export class ArmsView extends HTMLElement {
  set data({ arms, method, baseline }) {
    const rows = Object.entries(arms);
    this.replaceChildren(this.plot(rows, method, baseline), this.table(rows));
  }

  plot(rows, method, baseline) {
    const shares = rows.flatMap(([, arm]) => [...arm.ci95, ...(arm.raw ? arm.raw.ci95 : [])]);
    const low = Math.floor(10 * Math.min(...shares)) / 10, high = Math.ceil(10 * Math.max(...shares)) / 10;
    const x = (share) => LEFT + ((share - low) / Math.max(high - low, 0.1)) * (WIDTH - LEFT - 24);
    const height = TOP + rows.length * ROW + 8, parts = [];
    for (let step = Math.round(10 * low); step <= Math.round(10 * high); step += 1) {
      parts.push(svg("line", { x1: x(step / 10), x2: x(step / 10), y1: TOP - 6, y2: height - 8, class: "sv-grid" }),
        svg("text", { x: x(step / 10), y: 14, "text-anchor": "middle", class: "sv-axis" }, `${10 * step} %`));
    }
    rows.forEach(([name, arm], at) => {
      const y = TOP + at * ROW + ROW / 2;
      const kind = name === method ? "sv-method" : name === baseline ? "sv-baseline" : "";
      const group = svg("g", { class: kind }, svg("text", { x: LEFT - 12, y: y + 5, "text-anchor": "end" }, name));
      const add = (figures, dy, shape) => group.append(
        svg("line", { x1: x(figures.ci95[0]), x2: x(figures.ci95[1]), y1: y + dy, y2: y + dy, class: "sv-interval" }),
        svg("circle", { cx: x(figures.accuracy), cy: y + dy, r: 5, class: shape }),
      );
      if (arm.raw) add(arm.raw, -5, "sv-raw");
      add(arm, arm.raw ? 6 : 0, "sv-calibrated");
      parts.push(group);
    });
    const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "sv-plot" }, ...parts);
    drawn.setAttribute("aria-label", "Accuracy of each arm; the same figures are in the table below");
    return element("figure", "sv-figure", drawn,
      element("figcaption", "sv-soft", "Open circle: what the model says. Filled: calibrated. Lines: 95 % intervals."));
  }

  table(rows) {
    const interval = ([low, high]) => `${percent(low)} to ${percent(high)}`;
    const headings = [["sv-name", "Arm"], ["sv-n", "Raw"], ["", "95 %"], ["sv-n", "Calibrated"], ["", "95 %"], ["sv-n", "Fixed / broken"], ["", "What for"]];
    return tableOf("Accuracy of each arm", headings, rows.map(([name, arm]) => [
      name, percent(arm.raw?.accuracy), arm.raw ? interval(arm.raw.ci95) : "–", percent(arm.accuracy), interval(arm.ci95),
      arm.raw && arm.raw.fixed !== undefined && arm.raw.fixed !== null ? `${arm.raw.fixed} / ${arm.raw.broken}` : "–", arm.purpose ?? "",
    ]));
  }
}
define("sae-arms", ArmsView);
