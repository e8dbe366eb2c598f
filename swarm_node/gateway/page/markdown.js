/* Markdown as models write it, made into elements. No markup of a model's own gets through; time is linear in the text. */

import { copy, make } from "./dom.js";

const DEEPEST = 8;
const LINK_CHARS = 2000;
const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]{0,40})/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,9})([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const MARKS = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

/** Shows a text that grows: what is above its last block is made once. */
export class Markdown {
  #shown = [];

  constructor(container) {
    this.container = container;
  }

  show(text) {
    const chunks = chunksOf(text);
    let same = 0;
    while (same < chunks.length && this.#shown[same]?.source === chunks[same]) same += 1;
    for (const { nodes } of this.#shown.splice(same)) for (const node of nodes) node.remove();
    for (const source of chunks.slice(same)) {
      const nodes = blocksOf(source.split("\n"), 0);
      this.#shown.push({ source, nodes });
      this.container.append(...nodes);
    }
  }
}

/** Parts between blank lines; a list or a fence with blank lines inside is one. */
function chunksOf(text) {
  const chunks = [];
  let lines = [];
  let fence = null;
  let blank = false;
  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    const goesOn = fence !== null || !blank || (ITEM.test(lines[0] ?? "") && (/^\s/.test(line) || ITEM.test(line)));
    if (lines.length && line.trim() !== "" && !goesOn) {
      chunks.push(lines.join("\n"));
      lines = [];
    }
    fence = fenceAfter(fence, line);
    blank = line.trim() === "";
    if (!blank || lines.length) lines.push(line);
  }
  if (lines.length) chunks.push(lines.join("\n"));
  return chunks;
}

function fenceAfter(fence, line) {
  const match = FENCE.exec(line.trimStart());
  if (fence === null) return match ? match[1] : null;
  return closes(line, fence) ? null : fence;
}

const closes = (line, fence) => {
  const text = line.trim();
  return text.length >= fence.length && [...text].every((sign) => sign === fence[0]);
};

function blocksOf(lines, depth) {
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let match;
    if (line.trim() === "") at += 1;
    else if ((match = FENCE.exec(line))) at = fenced(lines, at, match, nodes);
    else if ((match = HEADING.exec(line))) {
      nodes.push(make(`h${Math.min(6, match[1].length + 2)}`, {}, inline(match[2].replace(/[ \t]+#+[ \t]*$/, ""))));
      at += 1;
    } else if (isRule(line)) {
      nodes.push(make("hr"));
      at += 1;
    } else if (QUOTE.test(line) && depth < DEEPEST) at = quoted(lines, at, nodes, depth);
    else if (ITEM.test(line) && depth < DEEPEST) at = listed(lines, at, nodes, depth);
    else if (isTable(lines, at)) at = tabled(lines, at, nodes);
    else at = paragraph(lines, at, nodes, depth);
  }
  return nodes;
}

const isRule = (line) => {
  const signs = line.replace(/\s/g, "");
  return signs.length >= 3 && "-*_".includes(signs[0]) && [...signs].every((sign) => sign === signs[0]);
};

function fenced(lines, at, [, fence, language], nodes) {
  let end = at + 1;
  while (end < lines.length && !closes(lines[end], fence)) end += 1;
  nodes.push(codeBlock(lines.slice(at + 1, end).join("\n"), language));
  return end + 1;
}

function codeBlock(text, language) {
  const button = make("button", { type: "button", onclick: () => copy(text, button) }, "Copy");
  const label = language ? `Code, ${language}` : "Code";
  return make(
    "figure", { class: "code" },
    make("figcaption", {}, make("span", {}, language || "code"), button),
    make("pre", { tabindex: "0", role: "region", "aria-label": label }, make("code", {}, text)),
  );
}

function quoted(lines, at, nodes, depth) {
  const inner = [];
  while (at < lines.length && lines[at].trim() !== "" && (QUOTE.test(lines[at]) || inner.length)) {
    inner.push(lines[at].replace(QUOTE, ""));
    at += 1;
  }
  nodes.push(make("blockquote", {}, blocksOf(inner, depth + 1)));
  return at;
}

function listed(lines, at, nodes, depth) {
  const first = ITEM.exec(lines[at]);
  const numbered = /\d/.test(first[2]);
  const list = make(numbered ? "ol" : "ul", numbered && first[2] !== "1." ? { start: parseInt(first[2], 10) } : {});
  while (at < lines.length) {
    const match = ITEM.exec(lines[at]);
    if (!match || /\d/.test(match[2]) !== numbered || match[1].length > first[1].length + 1) break;
    const inner = [lines[at].slice(match[0].length)];
    const indent = first[1].length + 2;
    at += 1;
    while (at < lines.length) {
      const line = lines[at];
      if (line.trim() === "") {
        if (!/^\s/.test(lines[at + 1] ?? "") && !ITEM.test(lines[at + 1] ?? "")) break;
      } else if (line.search(/\S/) < indent && (ITEM.test(line) || lines[at - 1].trim() === "")) break;
      inner.push(line.slice(Math.min(match[0].length, Math.max(0, line.search(/\S/)))));
      at += 1;
    }
    list.append(itemOf(inner, depth));
    while (at < lines.length && lines[at].trim() === "" && ITEM.test(lines[at + 1] ?? "")) at += 1;
  }
  nodes.push(list);
  return at;
}

function itemOf(lines, depth) {
  const nodes = blocksOf(lines, depth + 1);
  const plain = nodes[0]?.tagName === "P" && nodes.filter((node) => node.tagName === "P").length === 1;
  return make("li", {}, plain ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes);
}

const cellsOf = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
const isTable = (lines, at) =>
  lines[at].includes("|") && (lines[at + 1] ?? "").includes("-") && /^[\s|:-]+$/.test(lines[at + 1]) &&
  cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length;

function tabled(lines, at, nodes) {
  const head = cellsOf(lines[at]);
  const sides = cellsOf(lines[at + 1]).map((rule) => (!rule.endsWith(":") ? null : rule.startsWith(":") ? "middle" : "right"));
  const row = (cells, tag) => make("tr", {}, head.map((_, index) => make(tag, { class: sides[index] }, inline(cells[index] ?? ""))));
  const body = make("tbody");
  at += 2;
  while (at < lines.length && lines[at].trim() !== "" && lines[at].includes("|")) {
    body.append(row(cellsOf(lines[at]), "td"));
    at += 1;
  }
  const table = make("table", {}, make("thead", {}, row(head, "th")), body);
  nodes.push(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, table));
  return at;
}

function paragraph(lines, at, nodes, depth) {
  const start = at;
  do at += 1;
  while (at < lines.length && lines[at].trim() !== "" && !interrupts(lines, at, depth));
  nodes.push(make("p", {}, inline(lines.slice(start, at).join("\n").trim())));
  return at;
}

const interrupts = (lines, at, depth) =>
  FENCE.test(lines[at]) || HEADING.test(lines[at]) || isRule(lines[at]) || isTable(lines, at) ||
  (depth < DEEPEST && (QUOTE.test(lines[at]) || ITEM.test(lines[at])));

/** Text with its emphasis, code and links, as nodes. */
function inline(text, depth = 0) {
  const nodes = [];
  const hopeless = new Set(); // what closes nowhere further on is not looked for again
  let plain = "";
  let at = 0;
  const push = (node) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(node);
  };
  while (at < text.length) {
    const found = special(text, at, depth, hopeless);
    if (found) {
      if (typeof found.node === "string") plain += found.node;
      else push(found.node);
      at = found.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain) nodes.push(plain);
  return nodes;
}

function special(text, at, depth, hopeless) {
  switch (text[at]) {
    case "\\":
      if (text[at + 1] === "\n") return { node: make("br"), end: at + 2 };
      return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "") ? { node: text[at + 1], end: at + 2 } : null;
    case "\n":
      return { node: make("br"), end: at + 1 };
    case "`":
      return codeSpan(text, at, hopeless);
    case "!":
      return text[at + 1] === "[" ? link(text, at + 1, "image: ", depth) : null;
    case "[":
      return link(text, at, "", depth);
    case "h":
      return bareLink(text, at);
    case "*":
    case "_":
    case "~":
      return depth < DEEPEST ? emphasis(text, at, depth, hopeless) : null;
    default:
      return null;
  }
}

function codeSpan(text, at, hopeless) {
  let width = 1;
  while (text[at + width] === "`") width += 1;
  const ticks = "`".repeat(width);
  let end = hopeless.has(ticks) ? -1 : text.indexOf(ticks, at + width);
  while (end >= 0 && text[end + width] === "`") {
    while (text[end] === "`") end += 1;
    end = text.indexOf(ticks, end);
  }
  if (end < 0) {
    hopeless.add(ticks);
    return { node: ticks, end: at + width };
  }
  const code = text.slice(at + width, end).replace(/\n/g, " ");
  return { node: make("code", {}, /^ .*\S.* $/.test(code) ? code.slice(1, -1) : code), end: end + width };
}

function emphasis(text, at, depth, hopeless) {
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark, at)) continue;
    const inside = at + mark.length;
    if (hopeless.has(mark) || /\s/.test(text[inside] ?? " ")) continue;
    if (mark[0] === "_" && /\w/.test(text[at - 1] ?? "")) continue;
    const end = closing(text, inside + 1, mark);
    if (end < 0) hopeless.add(mark);
    else return { node: make(tag, {}, inline(text.slice(inside, end), depth + 1)), end: end + mark.length };
  }
  let end = at + 1;
  while (text[end] === text[at]) end += 1;
  return { node: text.slice(at, end), end };
}

function closing(text, from, mark) {
  for (let end = text.indexOf(mark, from); end >= 0; end = text.indexOf(mark, end + 1)) {
    if (/\s|\\/.test(text[end - 1])) continue;
    if (mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark)) {
      end += 1;
      continue;
    }
    if (mark[0] === "_" && /\w/.test(text[end + mark.length] ?? "")) continue;
    return mark.length === 2 && text[end + 2] === mark[0] ? end + 1 : end;
  }
  return -1;
}

function link(text, at, prefix, depth) {
  const middle = text.slice(at, at + LINK_CHARS).indexOf("](");
  const end = middle < 0 ? -1 : text.slice(at + middle, at + middle + LINK_CHARS).search(/[)\n]/);
  if (end < 0) return null;
  const target = text.slice(at + middle + 2, at + middle + end).trim().split(/\s/)[0];
  const label = text.slice(at + 1, at + middle);
  const address = safe(target);
  if (!address || label.includes("[") || text[at + middle + end] !== ")") return null;
  return { node: anchor(address, [prefix, inline(label, Math.max(depth + 1, DEEPEST - 1))].flat()), end: at + middle + end + 1 };
}

function bareLink(text, at) {
  if (/\w/.test(text[at - 1] ?? "") || !/^https?:\/\/\w/.test(text.slice(at, at + 9))) return null;
  const written = /^[^\s<>"`]*/.exec(text.slice(at, at + LINK_CHARS))[0].replace(/[.,;:!?)\]}*_'~]+$/, "");
  const address = safe(written);
  return address && { node: anchor(address, [written]), end: at + written.length };
}

const anchor = (href, label) => make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, label);

/** The address if it is one of the web or of mail, else null. */
function safe(text) {
  if (!/^(https?:\/\/|mailto:)/i.test(text)) return null;
  try {
    return new URL(text).href;
  } catch {
    return null;
  }
}
