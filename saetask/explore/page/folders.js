// Run and discovery: the folders that the explorer was started with.
import { element, percent } from "/views/text.js";
import { get, note, address } from "/app/api.js";
import "/views/arms.js";
import "/views/items.js";
import "/views/discovery.js";

export async function runPage(frame, values) {
  const run = await get("/api/run"), { summary } = run;
  const arms = element("sae-arms", ""), items = element("sae-items", "");
  arms.data = { arms: summary.arms, method: run.method, baseline: run.baseline };
  items.source = { page: (query) => get("/api/run/items", query), item: (name) => get("/api/run/item", { name }) };
  items.state = { show: values.get("show") ?? "", words: values.get("words") ?? "", page: Number(values.get("page")) || 0, open: values.get("item") ?? "" };
  items.addEventListener("state", ({ detail }) => note("run", { show: detail.show, words: detail.words, page: detail.page || "", item: detail.open }));
  frame.append(element("h1", "", `Run ${run.name}`),
    element("p", "soft", `${summary.experiment} · ${summary.model.name} · ${summary.n_items} items · seed ${summary.seed}`),
    element("h2", "", "Arms"), arms, element("h2", "", "Items"), items);
}

export async function discoveryPage(frame, values) {
  const { name, summary, discoveries } = await get("/api/discovery");
  const list = element("ul", "list"), shown = element("div", "panel"), view = element("sae-discovery", "");
  const open = (row) => {
    view.data = row;
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.id === row.concept) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  list.append(...discoveries.map((row) => {
    const link = element("a", "", `${row.confirmed ? "✓" : "○"} `, element("strong", "", row.name), element("span", "soft", ` · failure ${percent(row.failure_with)} with, ${percent(row.failure_without)} without`));
    link.href = address("discovery", { found: row.concept });
    link.dataset.id = row.concept;
    return element("li", "", link);
  }));
  frame.append(element("h1", "", `Discovery ${name}`),
    element("p", "soft", `${summary.n_items} items of ${summary.log || "a log"}, failure rate ${percent(summary.failure_rate)}; false discovery rate ${summary.q}`),
    element("div", "split", list, shown));
  const wanted = discoveries.find((row) => row.concept === values.get("found")) ?? discoveries[0];
  if (wanted) {
    shown.append(view);
    open(wanted);
  } else shown.append(element("p", "", "Nothing was tested."));
}
