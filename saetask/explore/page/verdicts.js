// Verdicts: what the reader said, and saving it.
import { element, button } from "/views/text.js";
import { ask, get, cardAddress, problem } from "/app/api.js";

// Saves a verdict and tells so in `place`; returns whether it was saved.
export async function judge(place, verdict) {
  try {
    const saved = await ask("/api/verdicts", verdict);
    place.querySelector(".saved")?.remove();
    const told = element("span", "soft saved", saved.verdict === "withdrawn" ? "Taken back." : `Saved: ${saved.verdict}.`);
    told.setAttribute("role", "status");
    place.append(told);
    return true;
  } catch (error) {
    place.append(problem(error));
    return false;
  }
}

export async function standing(kind, id) {
  const { verdicts } = await get("/api/verdicts");
  return verdicts.find((each) => each.kind === kind && each.id === id) ?? null;
}

export async function verdictsPage(frame) {
  const { file, verdicts } = await get("/api/verdicts"), told = element("div", "");
  frame.append(element("h1", "", "Your verdicts"),
    element("p", "soft", `In ${file}. \`saetask dictionary name\` uses them for the names it gives; detectors that are fitted do not see the features of struck concepts.`), told);
  if (!verdicts.length) frame.append(element("p", "", "None yet: judge names on their cards, and findings where they are shown."));
  const list = element("ul", "list");
  for (const each of verdicts) {
    const line = element("li", "line", element("span", "", element("strong", "", each.verdict), each.new_name ? ` to “${each.new_name}”` : "", ` · ${each.kind} · ${each.name || each.id} `, element("span", "soft", each.date)));
    if (each.kind !== "finding") {
      const link = element("a", "", "card");
      link.href = cardAddress(each.kind === "feature" ? `feature:${each.id}` : each.id);
      line.append(link);
    } else line.append(element("span", "soft", each.text));
    line.append(button("", "take back", async () => {
      if (await judge(told, { kind: each.kind, id: each.id, name: each.name, verdict: "withdrawn" })) line.remove();
    }));
    list.append(line);
  }
  frame.append(list);
}
