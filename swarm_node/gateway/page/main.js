/* The page, put together. */

import { currentKey, get, Problem, useKey } from "./api.js";
import { Chat } from "./chat.js";
import { Conversations } from "./conversations.js";
import { byId, make } from "./dom.js";
import { Store } from "./store.js";
import { Swarm } from "./swarm.js";

const THEMES = ["auto", "light", "dark"];
const MODELS_MILLISECONDS = 15000;

const remembered = (name) => {
  try {
    return localStorage.getItem(`swarm.${name}`) ?? "";
  } catch {
    return "";
  }
};
const remember = (name, value) => {
  try {
    localStorage.setItem(`swarm.${name}`, value);
  } catch {
    // Then it lasts as long as the page.
  }
};

const models = byId("model");
const store = new Store();
let chats = true;

const swarm = new Swarm((data) => {
  if (chats === data.chats) return;
  chats = data.chats;
  describe();
});
const numeric = (id) => (byId(id).value === "" || !byId(id).validity.valid ? null : byId(id).valueAsNumber);
const settings = () => ({
  model: models.value, chats, system: byId("system").value.trim(),
  temperature: numeric("temperature"), longest: numeric("longest"),
});
const chat = new Chat(store, settings, swarm);
const conversations = new Conversations(
  store,
  (conversation) => {
    show(conversation);
    view("chat");
    if (matchMedia("(hover: hover)").matches) byId("message").focus();
  },
  () => chat.conversation.id,
);

function show(conversation) {
  chat.show(conversation);
  remember("conversation", conversation.id);
  conversations.draw();
}

function describe() {
  byId("message").placeholder = chats ? "Ask the swarm" : "Begin a text; the model goes on with it";
  byId("hint").textContent = "Enter sends, Shift and Enter begins a line";
  chat.refresh();
}

function view(name) {
  document.body.dataset.view = name;
  for (const button of document.querySelectorAll(".views button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === name));
  }
}

async function findModels() {
  try {
    const { data } = await get("/v1/models");
    const names = data.map(({ id }) => String(id));
    listModels(names);
    byId("key").hidden = !currentKey();
    if (names.length && swarm.model !== models.value) swarm.watch(models.value);
    if (!names.length) setTimeout(findModels, MODELS_MILLISECONDS);
    chat.problem(null);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) return askForKey(error);
    chat.problem(error.message);
    setTimeout(findModels, MODELS_MILLISECONDS);
  }
  describe();
}

function listModels(names) {
  const wanted = models.value || remembered("model");
  models.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  if (names.includes(wanted)) models.value = wanted;
  models.disabled = names.length === 0;
}

function askForKey(error) {
  const dialog = byId("key-dialog");
  byId("key").hidden = false;
  if (currentKey() && error) byId("key-words").textContent = error.message;
  if (!dialog.open) dialog.showModal();
}

byId("key").addEventListener("click", () => askForKey(null));
byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
byId("key-dialog").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key-field").value.trim());
  byId("key-field").value = "";
  byId("key-dialog").close();
  swarm.model = null;
  findModels();
});
addEventListener("swarm-key", () => askForKey(new Problem("This API key is not taken any more. Ask who runs this gateway for another.")));

models.addEventListener("change", () => {
  remember("model", models.value);
  chats = true;
  describe();
  swarm.watch(models.value);
});
for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => view(button.dataset.view));
for (const id of ["system", "temperature", "longest"]) {
  byId(id).value = remembered(id);
  byId(id).addEventListener("change", () => remember(id, byId(id).value));
}

let theme = Math.max(0, THEMES.indexOf(document.documentElement.dataset.theme ?? "auto"));
const paint = () => {
  if (theme) document.documentElement.dataset.theme = THEMES[theme];
  else delete document.documentElement.dataset.theme;
  byId("theme").textContent = `Theme: ${THEMES[theme]}`;
};
byId("theme").addEventListener("click", () => {
  theme = (theme + 1) % THEMES.length;
  remember("theme", THEMES[theme]);
  paint();
});

paint();
show(store.get(remembered("conversation")) ?? store.create());
describe();
findModels();
