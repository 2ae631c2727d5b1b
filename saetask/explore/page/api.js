// Requests to the server, and the address of the page, which holds all that a reader chose.
import { element } from "/views/text.js";

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The explorer does not answer: is `saetask explore` still running?");
  }
  const document = await response.json().catch(() => ({ problem: `The explorer answered ${response.status}.` }));
  if (!response.ok) throw new Error(document.problem ?? `The explorer answered ${response.status}.`);
  return document;
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
