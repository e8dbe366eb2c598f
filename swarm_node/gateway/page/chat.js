/* The conversation on the page: asking, stopping, asking again, and answers that go on while another one is shown. */

import { events, Problem } from "./api.js";
import { announce, byId, make } from "./dom.js";
import { Answer, Question } from "./messages.js";
import { titleOf } from "./store.js";

const SAVE_MILLISECONDS = 2000;
const NEAR_PIXELS = 90;
const PLAIN_TOKENS = 160; // a model without a chat template seldom ends by itself
const ANNOUNCED_CHARS = 2000;
const HOPS = 64;

/** Owned by the page. `settings()` gives model, chats, system, temperature and longest; `lights` shows routes. */
export class Chat {
  #views = new Map();
  #running = new Map();

  constructor(store, settings, lights) {
    this.store = store;
    this.settings = settings;
    this.lights = lights;
    this.log = byId("log");
    this.message = byId("message");
    this.conversation = store.create();
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.message.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.send();
      }
    });
    byId("stop").addEventListener("click", () => {
      this.stop();
      this.message.focus();
    });
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) this.stop();
    });
    addEventListener("pagehide", () => {
      for (const { conversation } of this.#running.values()) this.store.save(conversation);
    });
  }

  /** Put `conversation` on the page. */
  show(conversation) {
    this.conversation = conversation;
    this.#draw();
    this.#scroll(true);
    this.#buttons();
    this.problem(null);
  }

  /** A line above the message field, or null for none. */
  problem(text) {
    const line = byId("problem");
    line.hidden = !text;
    line.textContent = text ?? "";
  }

  /** Draw anew: what can be done with a message depends on those after it. */
  #draw() {
    this.#views.clear();
    const { messages } = this.conversation;
    const elements = messages.map((message, index) => {
      const last = index === messages.length - 1;
      const view = message.role === "user" ? new Question(message, { edit: (text) => this.#edit(index, text) }) : new Answer(message, {
        regenerate: last && (() => this.regenerate()),
        showRoute: (route) => this.lights.show(route),
        drawn: () => this.#scroll(false),
      });
      this.#views.set(message, view);
      return view.element;
    });
    this.log.replaceChildren(...(elements.length ? elements : [this.#welcome()]));
  }

  #welcome() {
    const { model, chats } = this.settings();
    const words = chats
      ? "Each word of an answer is computed by several machines, one after the other. Watch them beside it."
      : "This model has no chat template, so it does not answer: it goes on with your text. Begin a sentence.";
    return make("div", { class: "welcome" }, make("p", {}, model ? "Ask the swarm." : "No model is served yet."), make("p", {}, model ? words : "As soon as every block of one has a node, it can be asked here."));
  }

  /** What is said where there is nothing yet depends on the model. */
  refresh() {
    if (!this.conversation.messages.length) this.#draw();
  }

  get busy() {
    return this.#running.has(this.conversation.id);
  }

  send() {
    const text = this.message.value;
    if (!text.trim() || this.busy) return;
    this.message.value = "";
    this.conversation.messages.push({ role: "user", content: text });
    this.#answer();
  }

  /** Answer the last question anew. */
  regenerate() {
    if (this.busy) return;
    const { messages } = this.conversation;
    if (messages.at(-1)?.role === "assistant") messages.pop();
    if (messages.length) this.#answer();
  }

  #edit(index, text) {
    if (this.busy) return;
    this.conversation.messages.splice(index, Infinity, { role: "user", content: text });
    this.#answer();
    this.message.focus();
  }

  stop() {
    this.#running.get(this.conversation.id)?.controller.abort();
  }

  async #answer() {
    const { conversation } = this;
    const settings = this.settings();
    if (!settings.model) {
      this.problem("No model is served yet. Wait until every block of one has a node, then send it again.");
      this.message.value = conversation.messages.pop().content;
      return;
    }
    conversation.title ||= titleOf(conversation.messages[0].content);
    conversation.at = Date.now();
    const body = bodyOf(conversation.messages, settings);
    const message = { role: "assistant", content: "", running: true, model: settings.model, plain: !settings.chats };
    conversation.messages.push(message);
    const controller = new AbortController();
    this.#running.set(conversation.id, { conversation, controller });
    this.#draw();
    this.#scroll(true);
    this.#buttons();
    this.problem(this.store.save(conversation));
    announce("The swarm answers.");
    const problem = await this.#read(conversation, message, settings, body, controller.signal);
    delete message.running;
    this.#running.delete(conversation.id);
    const empty = !message.content && !message.reasoning;
    if (empty && problem) conversation.messages.pop();
    const complaint = this.store.save(conversation);
    this.lights.rest();
    if (this.conversation !== conversation) return;
    this.#draw();
    this.#scroll(false);
    this.#buttons();
    this.problem(problem?.message ?? complaint);
    if (problem && empty) this.#retry();
    if (problem?.status === 401) dispatchEvent(new CustomEvent("swarm-key"));
    if (!problem) announce(message.content.slice(0, ANNOUNCED_CHARS) || "The answer is empty.");
  }

  /** A question that got no answer can be sent again without typing. */
  #retry() {
    const again = make("button", { type: "button", onclick: () => this.regenerate() }, "Send again");
    byId("problem").append(" ", again);
  }

  /** Fill `message` from the stream; returns the Problem that ended it early, or null. */
  async #read(conversation, message, { chats }, body, signal) {
    const began = performance.now();
    let first = 0;
    let last = 0;
    let pieces = 0;
    let saved = began;
    try {
      const path = chats ? "/v1/chat/completions" : "/v1/completions";
      for await (const chunk of events(path, { body, signal })) {
        const now = performance.now();
        const route = routeOf(chunk);
        if (route) {
          message.route = route;
          this.lights.light(route);
        }
        const choice = chunk.choices?.[0];
        const text = textOf(choice?.text ?? choice?.delta?.content);
        const thought = textOf(choice?.delta?.reasoning_content);
        if (text || thought) {
          first ||= now;
          last = now;
          pieces += 1;
          message.content += text;
          if (thought) message.reasoning = (message.reasoning ?? "") + thought;
          message.tokens = pieces;
          this.lights.pulse(message.route);
        }
        if (choice?.finish_reason === "length") message.note = "It ended where it had to: at the longest answer allowed.";
        const tokens = chunk.usage?.completion_tokens;
        if (Number.isFinite(tokens)) message.tokens = tokens;
        this.#views.get(message)?.update();
        if (now - saved > SAVE_MILLISECONDS) {
          saved = now;
          this.store.save(conversation);
        }
      }
      return null;
    } catch (error) {
      if (error.name === "AbortError") {
        message.note = "You stopped it here.";
        return null;
      }
      if (!(error instanceof Problem)) throw error;
      if (message.content) message.note = "It ended before it was complete.";
      return error;
    } finally {
      if (first) message.first = (first - began) / 1000;
      if (message.tokens > 1 && last > first) message.rate = (message.tokens - 1) / ((last - first) / 1000);
    }
  }

  #buttons() {
    byId("send").hidden = this.busy;
    byId("stop").hidden = !this.busy;
  }

  /** Stay at the end, unless the reader has scrolled away from it. */
  #scroll(anyway) {
    const { log } = this;
    const left = log.scrollHeight - log.scrollTop - log.clientHeight;
    if (anyway || left < NEAR_PIXELS + log.lastElementChild?.offsetHeight * 0.2) log.scrollTop = log.scrollHeight;
  }
}

function bodyOf(messages, { model, chats, system, temperature, longest }) {
  const asked = {
    model, stream: true, stream_options: { include_usage: true, include_route: true },
    ...(temperature !== null && { temperature }),
    ...(longest !== null && { max_tokens: longest }),
  };
  if (!chats) return { max_tokens: PLAIN_TOKENS, ...asked, prompt: messages.map(({ content }) => content).join("") };
  const told = messages.map(({ role, content }) => ({ role, content }));
  return { ...asked, messages: system ? [{ role: "system", content: system }, ...told] : told };
}

const textOf = (value) => (typeof value === "string" ? value : "");

function routeOf(chunk) {
  const route = chunk.swarm?.route;
  if (!Array.isArray(route)) return null;
  return route.slice(0, HOPS).map(({ peer, start, end }) => ({ peer: String(peer).slice(0, 100), start: Number(start), end: Number(end) }));
}
