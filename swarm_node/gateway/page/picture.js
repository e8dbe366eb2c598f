/* The picture: blocks across, every node a bar at its span, and the way of your answer through them. */

import { calm, draw, make } from "./dom.js";
import { bytes, count, percent, seconds, span } from "./figures.js";

const LANE_PIXELS = 62;
const LEAVING_MILLISECONDS = 700;
const COMETS = 3;
const COMET_MILLISECONDS = 520;
const SIGNS = { online: "●", loading: "◐", measuring: "◑", joining: "○", draining: "◌", offline: "◌", silent: "✕", moving: "⇄" };

/** Owned by the page. `pick(node)` is called when somebody looks at a node. */
export class Picture {
  #bars = new Map();
  #ghosts = new Map();
  #blocks = 1;
  #route = [];
  #comets = 0;

  constructor(root, pick) {
    this.pick = pick;
    this.ruler = root.querySelector(".ruler");
    this.coverage = root.querySelector(".coverage");
    this.lanes = root.querySelector(".lanes");
    this.thread = draw("polyline", { class: "way" });
    this.overlay = draw("svg", { class: "overlay", "aria-hidden": "true" }, this.thread);
    root.append(this.overlay);
    new ResizeObserver(() => this.#weave()).observe(this.lanes);
  }

  /** Show what `/swarm` tells. */
  update({ blocks, coverage, nodes }) {
    if (blocks !== this.#blocks) this.clear();
    this.#blocks = blocks;
    this.#rule();
    this.#cover(coverage);
    const lanes = packed(nodes, this.#bars);
    const seen = new Set(nodes.map(({ peer }) => peer));
    for (const [peer, bar] of this.#bars) if (!seen.has(peer)) this.#leave(peer, bar);
    for (const node of nodes) {
      const lane = lanes.get(node.peer);
      const bar = this.#bars.get(node.peer) ?? this.#enter(node);
      bar.show(node, this.#across(node), lane);
      this.#ghost(node, lane);
    }
    const order = [...this.#bars.values()].sort((one, other) => one.lane - other.lane || one.node.start - other.node.start);
    for (const [index, { item }] of order.entries()) if (this.lanes.children[index] !== item) this.lanes.insertBefore(item, this.lanes.children[index] ?? null);
    this.lanes.style.height = `${Math.max(1, ...[...lanes.values()].map((lane) => lane + 1)) * LANE_PIXELS}px`;
    this.#weave();
  }

  clear() {
    for (const { item } of this.#bars.values()) item.remove();
    for (const ghost of this.#ghosts.values()) ghost.remove();
    this.#bars.clear();
    this.#ghosts.clear();
    this.light([]);
  }

  /** Draw the way through `route`; [] for none. */
  light(route) {
    this.#route = route;
    this.#weave();
  }

  /** One token goes along it. */
  pulse() {
    const points = this.#points();
    if (points.length < 2 || calm() || this.#comets >= COMETS || document.hidden) return;
    this.#comets += 1;
    const comet = draw("circle", { class: "comet", r: "4.5" });
    this.overlay.append(comet);
    const frames = points.map(([x, y]) => ({ transform: `translate(${x}px, ${y}px)` }));
    const gone = () => {
      this.#comets -= 1;
      comet.remove();
    };
    comet.animate(spaced(frames, points), { duration: COMET_MILLISECONDS, easing: "linear" }).finished.then(gone, gone);
    this.#route.forEach(({ peer }, index) => this.#bars.get(peer)?.flash((COMET_MILLISECONDS * index) / this.#route.length));
  }

  #across({ start, end }) {
    return { left: `${(start / this.#blocks) * 100}%`, width: `${((end - start) / this.#blocks) * 100}%` };
  }

  #enter(node) {
    const bar = new Bar(() => this.pick(bar.node));
    this.#bars.set(node.peer, bar);
    this.lanes.append(bar.item);
    return bar;
  }

  #leave(peer, { item }) {
    this.#bars.delete(peer);
    item.classList.add("leaving");
    item.inert = true;
    setTimeout(() => item.remove(), calm() ? 0 : LEAVING_MILLISECONDS);
  }

  /** Where a node is moving to. */
  #ghost({ peer, target }, lane) {
    let ghost = this.#ghosts.get(peer);
    if (!target) {
      ghost?.remove();
      this.#ghosts.delete(peer);
      return;
    }
    if (!ghost) {
      ghost = make("li", { class: "ghost", "aria-hidden": "true", role: "presentation" });
      this.#ghosts.set(peer, ghost);
      this.overlay.before(ghost);
      this.lanes.append(ghost);
    }
    Object.assign(ghost.style, { ...this.#across(target), top: `${lane * LANE_PIXELS}px` });
  }

  #rule() {
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((width) => this.#blocks / width <= 10) ?? 1000;
    const marks = [];
    for (let block = 0; block < this.#blocks; block += step) marks.push(block);
    this.ruler.replaceChildren(...marks.map((block) => {
      const mark = make("span", {}, String(block));
      mark.style.left = `${(block / this.#blocks) * 100}%`;
      return mark;
    }));
    this.lanes.style.setProperty("--block", `${(step / this.#blocks) * 100}%`);
  }

  #cover(replicas) {
    const runs = [];
    replicas.forEach((nodes, block) => {
      if (runs.at(-1)?.nodes === nodes) runs.at(-1).end = block + 1;
      else runs.push({ nodes, start: block, end: block + 1 });
    });
    this.coverage.replaceChildren(...runs.map((run) => {
      const part = make("span", { class: run.nodes ? "some" : "none" }, make("i", {}, run.nodes ? `×${run.nodes}` : "none"));
      Object.assign(part.style, this.#across(run));
      part.style.setProperty("--nodes", String(Math.min(run.nodes, 4)));
      return part;
    }));
  }

  #points() {
    const width = this.lanes.clientWidth;
    const points = [];
    for (const { peer, start, end } of this.#route) {
      const bar = this.#bars.get(peer);
      if (!bar) return [];
      const y = bar.lane * LANE_PIXELS + 3;
      points.push([(start / this.#blocks) * width, y], [(end / this.#blocks) * width, y]);
    }
    return points;
  }

  #weave() {
    const points = this.#points();
    this.thread.setAttribute("points", points.map((point) => point.map(Math.round).join(",")).join(" "));
    this.overlay.style.top = `${this.lanes.offsetTop}px`;
    this.overlay.style.height = this.lanes.style.height;
    const lit = new Set(points.length ? this.#route.map(({ peer }) => peer) : []);
    for (const [peer, bar] of this.#bars) bar.item.classList.toggle("lit", lit.has(peer));
  }
}

class Bar {
  constructor(pick) {
    this.name = make("b");
    this.sign = make("span");
    this.state = make("i");
    this.work = make("span", { class: "work" });
    this.speed = make("span");
    this.away = make("span");
    this.glow = make("span", { class: "glow" });
    this.button = make("button", { type: "button", onclick: pick, onfocus: pick, onmouseenter: pick },
      make("span", { class: "line" }, this.name, make("span", { class: "state" }, this.sign, this.state)), make("span", { class: "line" }, this.work), make("span", { class: "line pace" }, make("span", {}, this.speed, make("i", {}, " a block")), make("span", { class: "away" }, this.away, make("i", {}, " away"))),
      make("span", { class: "meter" }), this.glow);
    this.item = make("li", { class: "entering" }, this.button);
    requestAnimationFrame(() => requestAnimationFrame(() => this.item.classList.remove("entering")));
  }

  show(node, across, lane) {
    this.node = node;
    this.lane = lane;
    Object.assign(this.item.style, { ...across, top: `${lane * LANE_PIXELS}px` });
    this.item.dataset.peer = node.peer;
    this.item.dataset.state = stateOf(node);
    this.item.style.setProperty("--load", String(node.load));
    put(this.name, node.name);
    put(this.sign, SIGNS[stateOf(node)] ?? SIGNS.online);
    put(this.state, ` ${stateOf(node)}`);
    put(this.work, `${percent(node.load)} of ${bytes(node.memory_bytes)}${node.waiting ? ` · ${node.waiting} waiting` : ""}`);
    put(this.speed, seconds(node.decode_seconds));
    this.away.parentElement.hidden = node.delay_seconds === null;
    if (node.delay_seconds !== null) put(this.away, seconds(node.delay_seconds));
    const label = spoken(node);
    if (this.button.getAttribute("aria-label") !== label) this.button.setAttribute("aria-label", label);
  }

  flash(delay) {
    this.glow.animate([{ opacity: 0 }, { opacity: 1, offset: 0.3 }, { opacity: 0 }], { duration: 380, delay });
  }
}

const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export const stateOf = ({ state, target }) => (state === "silent" ? "silent" : target ? "moving" : state);

const spoken = (node) =>
  [
    `Node ${node.name}`, stateOf(node), `blocks ${node.start} to ${node.end}`, node.target && `moving to ${span(node.target)}`,
    `${percent(node.load)} of its cache in use`, bytes(node.memory_bytes), `${seconds(node.decode_seconds)} a block`,
    node.delay_seconds !== null && `${seconds(node.delay_seconds)} away`, node.waiting && `${count(node.waiting, "request")} waiting`,
  ].filter(Boolean).join(", ");

/** Lanes by peer: nodes that overlap lie below each other, and each stays where it was if it can. */
function packed(nodes, bars) {
  const taken = [];
  const lanes = new Map();
  const reach = (node) => [Math.min(node.start, node.target?.start ?? node.start), Math.max(node.end, node.target?.end ?? node.end)];
  const fits = (lane, [start, end]) => (taken[lane] ?? []).every(([from, to]) => end <= from || to <= start);
  const put = (node, lane) => {
    (taken[lane] ??= []).push(reach(node));
    lanes.set(node.peer, lane);
  };
  const was = ({ peer }) => bars.get(peer)?.lane ?? Infinity;
  for (const node of [...nodes].sort((one, other) => was(one) - was(other) || one.start - other.start || other.end - one.end)) {
    const known = was(node);
    const highest = Math.min(known, taken.length);
    let lane = 0;
    while (lane < highest && !fits(lane, reach(node))) lane += 1;
    if (!fits(lane, reach(node))) lane = taken.length;
    put(node, lane);
  }
  return lanes;
}

/** Keyframes whose offsets follow the distance, so that the comet goes evenly. */
function spaced(frames, points) {
  const far = [0];
  for (let index = 1; index < points.length; index += 1) {
    far.push(far[index - 1] + Math.hypot(points[index][0] - points[index - 1][0], points[index][1] - points[index - 1][1]));
  }
  return frames.map((frame, index) => ({ ...frame, offset: far.at(-1) ? far[index] / far.at(-1) : index / (frames.length - 1) }));
}
