/* The living swarm beside the chat: it is told whenever something changes, and shows it as picture, figures and table. */

import { events, Problem } from "./api.js";
import { announce, byId, copy, make } from "./dom.js";
import { bytes, count, number, percent, seconds, span, time } from "./figures.js";
import { shortName } from "./messages.js";
import { Picture, stateOf } from "./picture.js";

const NEWS = 6;
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;
const REST_MILLISECONDS = 2500;

/** Owned by the page. `told(data)` is called with each picture. */
export class Swarm {
  #nodes = null;
  #watch = null;
  #picked = null;
  #rest = 0;
  #tokens = 0;

  constructor(told) {
    this.told = told;
    this.model = null;
    this.data = null;
    this.picture = new Picture(byId("picture"), (node) => this.#pick(node));
    byId("copy-join").addEventListener("click", ({ target }) => copy(byId("join").textContent, target));
    // A hidden page lets its connection go: a browser has only a few for one gateway.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#watch?.abort() : this.watch(this.model)));
  }

  /** Follow the swarm of `model`, until called with another. */
  async watch(model) {
    this.#watch?.abort();
    const watch = (this.#watch = new AbortController());
    if (model !== this.model) this.#forget();
    this.model = model;
    for (let wait = FIRST_WAIT; !watch.signal.aborted; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        for await (const data of events(`/swarm/events?model=${encodeURIComponent(model)}`, { signal: watch.signal })) {
          wait = FIRST_WAIT;
          if (typeof data.problem === "string") this.#lost(data.problem);
          else this.#show(data);
        }
      } catch (error) {
        if (watch.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        this.#lost(error.status ? error.message : "The gateway is out of sight. Looking again …");
        if (error.status === 401) return;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** The way of an answer under way. */
  light(route) {
    clearTimeout(this.#rest);
    this.#tokens = 0;
    this.#say(route);
    this.picture.light(route);
  }

  pulse(route) {
    this.#tokens += 1;
    if (route) this.#say(route);
    this.picture.pulse();
  }

  /** The answer is over: its way fades. */
  rest() {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.picture.light([]);
      byId("yours").hidden = true;
    }, REST_MILLISECONDS);
  }

  /** The way of an earlier answer, for a moment. */
  show(route) {
    this.picture.light(route);
    this.rest();
  }

  #say(route) {
    const yours = byId("yours");
    yours.hidden = false;
    yours.replaceChildren(
      make("span", {}, this.#tokens ? `${count(this.#tokens, "token")} by way of ` : "Your answer goes by way of "),
      ...route.map((hop) => make("span", { class: "hop" }, `${shortName(hop.peer)} ${span(hop)}`)),
    );
  }

  #forget() {
    this.#nodes = null;
    this.#picked = null;
    this.data = null;
    byId("node").hidden = true;
    byId("news").replaceChildren();
    this.picture.clear();
  }

  #lost(message) {
    const verdict = byId("verdict");
    verdict.className = "bad";
    verdict.textContent = message;
  }

  #show(data) {
    this.data = data;
    byId("swarm-name").textContent = data.model;
    this.#verdict(data);
    byId("figures").replaceChildren(...figuresOf(data).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    this.picture.update(data);
    this.#table(data);
    this.#join(data);
    this.#news(data);
    if (this.#picked) this.#pick(data.nodes.find(({ peer }) => peer === this.#picked));
    this.told(data);
  }

  #verdict({ missing, nodes }) {
    const verdict = byId("verdict");
    verdict.className = missing.length ? "bad" : "good";
    const text = missing.length
      ? `${missing.map((gap) => (gap.end - gap.start === 1 ? `Block ${gap.start}` : `Blocks ${span(gap)}`)).join(", ")} served by nobody`
      : "Every block is served";
    verdict.textContent = nodes.length ? text : "Nobody serves it now";
  }

  #pick(node) {
    const panel = byId("node");
    panel.hidden = !node;
    this.#picked = node?.peer ?? null;
    if (!node) return;
    panel.replaceChildren(
      make("h3", {}, `Node ${node.name}`),
      make("dl", {}, factsOf(node).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    );
  }

  #table({ nodes, hidden_nodes: hidden }) {
    const heads = ["Node", "Blocks", "State", "Load", "Memory", "A block takes", "Away", "Waiting"];
    const rows = nodes.map((node) => make("tr", {}, make("th", { scope: "row" }, node.name), [
      span(node), stateOf(node), percent(node.load), bytes(node.memory_bytes), seconds(node.decode_seconds),
      node.delay_seconds === null ? "not measured" : seconds(node.delay_seconds), number(node.waiting),
    ].map((cell) => make("td", {}, cell))));
    const caption = hidden ? `The first ${nodes.length} of ${nodes.length + hidden} nodes` : count(nodes.length, "node");
    byId("table").querySelector("table").replaceChildren(
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, rows),
    );
  }

  #join({ join }) {
    byId("join").textContent = (join ?? "").replaceAll(" --initial-peers ", " \\\n  --initial-peers ");
    byId("join").parentElement.hidden = !join;
    byId("join-words").textContent = join
      ? "A machine with some memory to spare can serve blocks, too. Install swarm-node there, and type:"
      : "No node can be reached now, so there is nobody to join.";
  }

  #news({ nodes }) {
    const now = new Map(nodes.map((node) => [node.peer, node]));
    const before = this.#nodes;
    this.#nodes = now;
    if (!before) return;
    const told = [];
    for (const [peer, node] of now) {
      const was = before.get(peer);
      if (!was) told.push(`${node.name} joins with blocks ${span(node)}`);
      else if (was.state !== "silent" && node.state === "silent") told.push(`${node.name} does not answer any more`);
      else if (!was.target && node.target) told.push(`${node.name} moves from ${span(node)} to ${span(node.target)}`);
      else if (span(was) !== span(node)) told.push(`${node.name} serves blocks ${span(node)} now`);
      else if (was.state !== node.state) told.push(`${node.name} is ${node.state}`);
    }
    for (const [peer, node] of before) if (!now.has(peer)) told.push(`${node.name} has left; it served blocks ${span(node)}`);
    if (!told.length) return;
    const list = byId("news");
    const at = new Date();
    list.prepend(...told.map((text) => make("li", {}, make("time", { datetime: at.toISOString() }, time(at)), ` ${text}`)));
    while (list.children.length > NEWS) list.lastElementChild.remove();
    announce(told.join(". "));
  }
}

const figuresOf = ({ nodes, hidden_nodes: hidden, blocks, coverage, free_places: free, waiting }) => [
  ["Blocks", number(blocks)],
  ["Nodes", number(nodes.length + hidden)],
  ["Covered", percent(coverage.filter(Boolean).length / Math.max(1, coverage.length))],
  ["Free places", number(free)],
  ["Waiting", number(waiting)],
];

const factsOf = (node) => [
  ["Blocks", span(node) + (node.target ? ` → ${span(node.target)}` : "")],
  ["State", stateOf(node)],
  ["Cache in use", `${percent(node.load)} of ${number(node.cache_tokens)} block-tokens`],
  ["Requests", `${number(node.running)} running, ${number(node.waiting)} waiting`],
  ["Memory given", bytes(node.memory_bytes)],
  ["Decode", `${seconds(node.decode_seconds)} a block`],
  ["Prefill", `${seconds(node.prefill_seconds)} a token and block`],
  ["Away", node.delay_seconds === null ? "not measured yet" : `${seconds(node.delay_seconds)} there and back`],
  ["Numbers", node.dtype],
  ["Version", node.version || "not told"],
  ["Peer", node.peer],
];
