/* The list of conversations: choose, rename, delete and take that back. */

import { byId, make } from "./dom.js";

/** Owned by the page. `choose(conversation)` is called with one to show; a new one too. */
export class Conversations {
  #deleted = null;

  constructor(store, choose, shown) {
    this.store = store;
    this.choose = choose;
    this.shown = shown;
    this.list = byId("conversations");
    this.undo = byId("undo");
    byId("new").addEventListener("click", () => choose(store.create()));
    this.undo.querySelector("button").addEventListener("click", () => this.#restore());
    store.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    if (this.list.querySelector("input")) return; // somebody is renaming one
    const focused = document.activeElement?.closest?.("#conversations li")?.dataset.id;
    const kind = document.activeElement?.className;
    this.list.replaceChildren(...this.store.all().map((conversation) => this.#item(conversation)));
    if (focused) [...this.list.children].find((item) => item.dataset.id === focused)?.querySelector(`button.${kind}`)?.focus();
  }

  #item(conversation) {
    const title = conversation.title || "Untitled";
    const open = make("button", {
      type: "button", class: "open", "aria-current": conversation.id === this.shown() && "true",
      onclick: () => this.choose(conversation),
    }, title);
    const rename = make("button", { type: "button", class: "rename", "aria-label": `Rename “${title}”`, onclick: () => this.#rename(item, conversation) }, "Rename");
    const remove = make("button", { type: "button", class: "remove", "aria-label": `Delete “${title}”`, onclick: () => this.#remove(conversation) }, "Delete");
    const item = make("li", { "data-id": conversation.id }, open, make("span", { class: "row" }, rename, remove));
    return item;
  }

  #rename(item, conversation) {
    const field = make("input", { "aria-label": "Title", maxlength: "120" });
    field.value = conversation.title;
    let over = false;
    const end = (keeps) => {
      if (over) return;
      over = true;
      if (keeps && field.value.trim()) conversation.title = field.value.trim();
      field.remove();
      if (keeps) this.store.save(conversation);
      this.draw();
      [...this.list.children].find((other) => other.dataset.id === conversation.id)?.querySelector(".rename").focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      end(event.key === "Enter");
    });
    field.addEventListener("blur", () => end(true));
    item.replaceChildren(field);
    field.select();
  }

  #remove(conversation) {
    this.#deleted = conversation;
    this.store.remove(conversation.id);
    if (conversation.id === this.shown()) this.choose(this.store.create());
    this.undo.hidden = false;
    this.undo.querySelector("span").textContent = `“${conversation.title}” is deleted.`;
    this.undo.querySelector("button").focus();
  }

  #restore() {
    this.undo.hidden = true;
    if (this.#deleted) this.store.save(this.#deleted);
    if (this.#deleted) this.choose(this.#deleted);
    this.#deleted = null;
  }
}
