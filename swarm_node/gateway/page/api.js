/* The gateway, asked by fetch: answers, streams of events, and errors as one line that says what to do. */

const KEY = "swarm.key";
const GONE = "The gateway does not answer. See whether “swarm serve” still runs, then try again.";
const CUT = "The gateway went away in the middle of the answer. Send the message again.";
const LONGEST_LINE = 500;

/** What went wrong, in words for the reader. */
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message.length > LONGEST_LINE ? `${message.slice(0, LONGEST_LINE)} …` : message);
    this.status = status;
  }
}

let key = stored();

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** The API key of this tab, or "" for none. */
export const currentKey = () => key;

export function useKey(value) {
  key = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Then it lasts until the next reload.
  }
}

async function respond(path, { body, signal } = {}) {
  const headers = { ...(key && { authorization: `Bearer ${key}` }), ...(body && { "content-type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET", body: body && JSON.stringify(body), headers, signal, cache: "no-store",
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(GONE);
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

async function problemOf(response) {
  let message = `The gateway answered with status ${response.status}. Its log says why.`;
  try {
    const told = (await response.json()).error?.message;
    if (typeof told === "string" && told) message = sentence(told);
  } catch {
    // Whoever answered, it was not the gateway: a proxy in front of it.
  }
  const wait = Number(response.headers.get("retry-after"));
  return new Problem(response.status === 429 && wait > 0 ? `${message} Try again in ${wait} s.` : message, response.status);
}

const sentence = (text) => {
  const line = text.replace(/\s+/g, " ").trim();
  return line.charAt(0).toUpperCase() + line.slice(1) + (/[.!?]$/.test(line) ? "" : ".");
};

/** The JSON at `path`. Throws Problem. */
export async function get(path) {
  return (await respond(path)).json();
}

/** The events of a stream, each a JSON value. Throws Problem, or AbortError once `signal` says so. */
export async function* events(path, { body, signal } = {}) {
  const response = await respond(path, { body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        throw signal?.aborted ? error : new Problem(CUT);
      });
      if (done) throw new Problem(CUT);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const { name, data } = fields(block);
        if (data === "[DONE]") return;
        if (data === "") continue;
        const told = JSON.parse(data);
        if (name === "error" || told.error) throw new Problem(sentence(String(told.error?.message ?? "the answer failed")));
        yield told;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fields(block) {
  let name = "";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    else if (line.startsWith("event:")) name = line.slice(6).trim();
  }
  return { name, data: data.join("\n") };
}
