// Compare: features that fire in more of some texts than of others.
import { element, number, percent, tableOf } from "/views/text.js";
import { GivenUp, newestRequest, note, cardAddress, problem } from "/app/api.js";

const FIRST = "She swallowed the pill.\nHe swallowed a fly.\nThe snake swallowed the egg.";
const SECOND = "She swallowed her pride.\nHe swallowed the insult.\nThe firm swallowed its rival.";

function table(title, rows) {
  if (!rows.length) return element("p", "soft", `${title}: none.`);
  const headings = [["sv-name", "Feature"], ["sv-n", "In these"], ["sv-n", "In the others"], ["sv-n", "p"], ["sv-n", "q"]];
  return tableOf(title, headings, rows.map((row) => {
    const link = element("a", "", `${row.name || "no known concept"} · #${row.feature}`);
    link.href = cardAddress(`feature:${row.feature}`);
    return [link, percent(row.first, 0), percent(row.second, 0), number(row.p, 3), number(row.q, 3)];
  }));
}

export async function comparePage(frame, values) {
  const area = (value) => Object.assign(element("textarea", ""), { rows: 6, maxLength: 30000, value });
  const first = area(values.get("first") ?? FIRST), second = area(values.get("second") ?? SECOND);
  const go = element("button", "main", "Compare"), result = element("div", "two");
  go.type = "submit";
  result.setAttribute("aria-live", "polite");
  const form = element("form", "", element("div", "two", element("label", "", "Some texts, one a line", first), element("label", "", "Others", second)), element("div", "line", go));
  frame.append(element("h1", "", "Compare two sets of texts"), element("p", "soft", "Features that fire in a larger share of the one than of the other. With thousands of features and few texts, small p-values are expected by chance; q is corrected for that."), form, result);
  const requests = newestRequest();
  const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, 32);
  async function compare() {
    go.disabled = true;
    try {
      const found = await requests.ask("/api/compare", { first: lines(first.value), second: lines(second.value) });
      result.replaceChildren(table("More in the first", found.first), table("More in the second", found.second));
    } catch (error) {
      if (!(error instanceof GivenUp)) result.replaceChildren(problem(error));
    }
    go.disabled = false;
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    note("compare", { first: first.value, second: second.value }, true);
    compare();
  });
  if (values.has("first")) await compare();
}
