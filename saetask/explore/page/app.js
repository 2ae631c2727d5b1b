// The page: tabs, status, and which part is shown, by the address.
import { element } from "/views/text.js";
import { get, here, address, leavePage, problem } from "/app/api.js";
import { learnNames } from "/app/names.js";
import { readPage } from "/app/read.js";
import { dictionaryPage } from "/app/dictionary.js";
import { comparePage } from "/app/compare.js";
import { runPage, discoveryPage } from "/app/folders.js";
import { verdictsPage } from "/app/verdicts.js";

const PAGES = {
  read: ["Read", readPage, () => true],
  dictionary: ["Dictionary", dictionaryPage, (status) => status.dictionary],
  compare: ["Compare", comparePage, (status) => status.dictionary],
  run: ["Run", runPage, (status) => status.run],
  discovery: ["Discovery", discoveryPage, (status) => status.discovery],
  verdicts: ["Verdicts", verdictsPage, (status) => status.dictionary],
};
const main = document.getElementById("main"), tabs = document.getElementById("tabs");
let status = null, shown = "";

function told(state) {
  const made = document.getElementById("status");
  const texts = {
    loading: `loading ${state.model} …`, ready: `${state.model} · ${state.sae}`,
    failed: `the model is not loaded: ${state.problem}`,
  };
  made.textContent = texts[state.state];
  made.classList.toggle("problem", state.state === "failed");
  made.classList.toggle("ready", state.state === "ready");
}

async function watch() {
  status = await get("/api/status");
  told(status);
  if (status.state === "loading") setTimeout(watch, 700);
  else document.dispatchEvent(new CustomEvent("model-ready"));
}

function draw() {
  const { page, values } = here();
  const name = Object.hasOwn(PAGES, page) && PAGES[page][2](status) ? page : "read";
  const links = Object.entries(PAGES).filter(([, [, , isThere]]) => isThere(status)).map(([key, [title]]) => {
    const link = element("a", "", title);
    link.href = address(key);
    if (key === name) link.setAttribute("aria-current", "page");
    return link;
  });
  tabs.replaceChildren(...links);
  document.title = `${PAGES[name][0]} · saetask explore`;
  if (shown && shown !== name) main.focus({ preventScroll: true });
  shown = name;
  leavePage();
  const frame = element("div", "");
  main.replaceChildren(frame);
  PAGES[name][1](frame, values, status).catch((error) => {
    frame.append(problem(error));
  });
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", draw);
window.addEventListener("popstate", draw);
try {
  await watch();
  if (status.dictionary) await learnNames();
  draw();
} catch (error) {
  main.replaceChildren(problem(error));
}
