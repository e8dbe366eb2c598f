/* Conversations, kept in this browser and nowhere else: one entry each, so that two tabs do not undo each other's. */

const PREFIX = "swarm.conversation.";
const TITLE_CHARS = 60;
const FULL = "This browser has no room left for conversations. Delete some; until then new ones are lost on reload.";

const isMessage = (message) =>
  message && (message.role === "user" || message.role === "assistant") && typeof message.content === "string";

function parsed(text) {
  try {
    const found = JSON.parse(text);
    const sound = found && typeof found.id === "string" && typeof found.title === "string" && Array.isArray(found.messages);
    return sound && found.messages.every(isMessage) ? found : null;
  } catch {
    return null;
  }
}

export class Store extends EventTarget {
  #conversations = new Map();

  constructor() {
    super();
    try {
      for (const name of Object.keys(localStorage)) if (name.startsWith(PREFIX)) this.#read(localStorage.getItem(name));
    } catch {
      // The browser keeps nothing for this page: conversations live as long as it does.
    }
    addEventListener("storage", ({ key, newValue }) => {
      if (!key?.startsWith(PREFIX)) return;
      if (newValue === null) this.#conversations.delete(key.slice(PREFIX.length));
      else this.#read(newValue);
      this.#changed();
    });
  }

  #read(text) {
    const found = parsed(text);
    if (found) this.#conversations.set(found.id, found);
  }

  /** All, the newest first. */
  all() {
    return [...this.#conversations.values()].sort((one, other) => other.at - one.at);
  }

  get(id) {
    return this.#conversations.get(id);
  }

  create() {
    return { id: newId(), title: "", at: Date.now(), messages: [] };
  }

  /** Keep it. Returns what to tell the reader if there is no room, else null. */
  save(conversation) {
    this.#conversations.set(conversation.id, conversation);
    let complaint = null;
    try {
      localStorage.setItem(PREFIX + conversation.id, JSON.stringify(kept(conversation)));
    } catch {
      complaint = FULL;
    }
    this.#changed();
    return complaint;
  }

  remove(id) {
    this.#conversations.delete(id);
    try {
      localStorage.removeItem(PREFIX + id);
    } catch {
      // It was never kept.
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A conversation as it is kept while an answer is under way. */
const kept = (conversation) => ({
  ...conversation,
  messages: conversation.messages
    .filter((message) => !message.running || message.content)
    .map(({ running, ...message }) => (running ? { ...message, note: "It ended before it was complete." } : message)),
});

/** What a conversation is called until its owner names it. */
export function titleOf(text) {
  const line = text.trim().split("\n")[0];
  return line.length > TITLE_CHARS ? `${line.slice(0, TITLE_CHARS - 1)}…` : line;
}

// crypto.randomUUID is for secure pages only, and a gateway in a local network is none.
const newId = () => Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(36)).join("");
