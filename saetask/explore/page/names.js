// What concepts and features are called, by the ids that addresses and requests have.
import { get } from "/app/api.js";

const names = new Map();

export async function learnNames() {
  for (const { id, name } of await get("/api/concepts")) names.set(id, name);
}

export function nameOf(id) {
  return id.startsWith("feature:") ? `feature ${id.slice(8)}` : names.get(id) ?? id;
}
