/* One message of a conversation on the page: its text, what was thought before it, and what can be done with it. */

import { copy, make } from "./dom.js";
import { count, seconds } from "./figures.js";
import { Markdown } from "./markdown.js";

/** What somebody has written. `actions.edit(text)` sends it again, changed. */
export class Question {
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.element = make("article", { class: "question", "aria-label": "You" });
    this.#read();
  }

  update() {}

  #read() {
    const edit = make("button", { type: "button", onclick: () => this.#edit() }, "Edit");
    this.element.replaceChildren(make("p", { class: "text" }, this.message.content), make("footer", {}, edit));
  }

  #edit() {
    const area = make("textarea", { "aria-label": "Your message", rows: "3" });
    area.value = this.message.content;
    const back = () => {
      this.#read();
      this.element.querySelector("footer button").focus();
    };
    const send = () => area.value.trim() && this.actions.edit(area.value);
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") back();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
    });
    this.element.replaceChildren(
      area,
      make("footer", {}, make("button", { type: "button", onclick: send }, "Send again"), make("button", { type: "button", onclick: back }, "Cancel")),
    );
    area.focus();
  }
}

/** What the swarm has answered, or is answering. `actions`: regenerate(), showRoute(hops). */
export class Answer {
  #asked = false;

  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.thought = make("div", { class: "text" });
    this.summary = make("summary");
    this.reasoning = make("details", { class: "reasoning", hidden: true }, this.summary, this.thought);
    this.text = make("div", { class: message.plain ? "text plain" : "text" });
    this.note = make("p", { class: "note", hidden: true });
    this.footer = make("footer");
    this.element = make("article", { class: "answer", "aria-label": "The swarm" }, this.reasoning, this.text, this.note, this.footer);
    this.written = new Markdown(this.text);
    this.thinking = new Markdown(this.thought);
    this.#draw();
  }

  /** Show what has come since; several calls within one frame are one. */
  update() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
      this.actions.drawn?.();
    });
  }

  #draw() {
    const message = this.message;
    this.element.setAttribute("aria-busy", String(Boolean(message.running)));
    this.element.classList.toggle("waiting", Boolean(message.running) && !message.content && !message.reasoning);
    this.reasoning.hidden = !message.reasoning;
    if (message.reasoning) {
      this.summary.textContent = message.content || !message.running ? "What it thought before" : "Thinking …";
      this.thinking.show(message.reasoning);
    }
    if (message.plain) this.text.textContent = message.content;
    else this.written.show(message.content);
    this.note.hidden = !message.note;
    this.note.textContent = message.note ?? "";
    this.footer.replaceChildren(...(message.running ? this.#progress() : this.#record()));
  }

  #progress() {
    const { waiting, tokens } = this.message;
    return [make("span", { class: "figures" }, tokens ? count(tokens, "token") : waiting ? "in line at the nodes …" : "on its way …")];
  }

  #record() {
    const { message } = this;
    const copied = make("button", { type: "button", onclick: () => copy(message.content, copied) }, "Copy");
    const parts = [copied];
    if (this.actions.regenerate) parts.push(make("button", { type: "button", onclick: this.actions.regenerate }, "Regenerate"));
    const figures = figuresOf(message);
    if (figures) parts.push(make("span", { class: "figures" }, figures));
    if (message.route?.length) parts.push(this.#route());
    return parts;
  }

  #route() {
    const { route } = this.message;
    const show = () => this.actions.showRoute(route);
    const hops = route.map(({ peer, start, end }) => make("span", { class: "hop" }, make("b", {}, shortName(peer)), ` ${start}:${end}`));
    const label = `Route: ${route.map(({ peer, start, end }) => `blocks ${start} to ${end} at ${shortName(peer)}`).join(", then ")}. Show it in the picture`;
    return make("button", { type: "button", class: "route", "aria-label": label, onclick: show, onmouseenter: show, onfocus: show }, hops);
  }
}

function figuresOf({ tokens, rate, first }) {
  const parts = [];
  if (tokens) parts.push(count(tokens, "token"));
  if (rate) parts.push(`${rate.toFixed(1)} tokens/s`);
  if (first) parts.push(`first after ${seconds(first)}`);
  return parts.join(" · ");
}

/** As nodes call themselves in the terminal. */
export const shortName = (peer) => `…${peer.slice(-8)}`;
