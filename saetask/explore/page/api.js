// Requests to the server, and the address of the page, which holds all that a reader chose.
import { element } from "/views/text.js";

// Thrown in place of an answer that the reader does not wait for any more.
export class GivenUp extends Error {}

export async function ask(path, body, signal) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    if (signal?.aborted) throw new GivenUp();
    throw new Error("The explorer does not answer: is `saetask explore` still running?");
  }
  const document = await response.json().catch(() => ({ problem: `The explorer answered ${response.status}.` }));
  if (signal?.aborted) throw new GivenUp();
  if (!response.ok) throw new Error(document.problem ?? `The explorer answered ${response.status}.`);
  return document;
}

let shownPage = new AbortController();

// Gives up what the page that was shown still asks for.
export function leavePage() {
  shownPage.abort();
  shownPage = new AbortController();
}

// Requests to the model of which only the newest counts: each gives up the one before, and the server takes it out of
// the model's queue.
export function newestRequest() {
  const page = shownPage.signal;
  let before = new AbortController();
  function giveUp() {
    before.abort();
    before = new AbortController();
  }
  function askNewest(path, body) {
    giveUp();
    return ask(path, body, AbortSignal.any([before.signal, page]));
  }
  return { ask: askNewest, giveUp };
}

export function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return ask(query ? `${path}?${query}` : path);
}

// #page?name=value&...: half a surrogate pair has no place in an address.
export function address(page, values = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) for (const each of value) query.append(name, String(each).toWellFormed());
    else if (value !== "" && value !== null && value !== undefined) query.set(name, String(value).toWellFormed());
  }
  const text = query.toString();
  return `#${page}${text ? `?${text}` : ""}`;
}

export function here() {
  const [page, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  return { page, values: new URLSearchParams(query) };
}

// The address changes with what the reader does; `push` makes a step that Back undoes.
export function note(page, values, push = false) {
  const wanted = address(page, values);
  if (wanted === location.hash) return;
  history[push ? "pushState" : "replaceState"](null, "", wanted);
}

export function cardAddress(id) {
  return address("dictionary", { card: id });
}

export function problem(error) {
  const made = element("p", "problem", error.message);
  made.setAttribute("role", "alert");
  return made;
}
