"use strict";
// Everything on the page is made by node(): text is text, never markup.

const byId = id => document.getElementById(id);
const D = JSON.parse(byId("data").textContent);
const WRONG = ["FAIL", "CRASH", "TIMEOUT"];

function node(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter(c => c !== null && c !== undefined && c !== ""));
  return made;
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children.flat().filter(c => c !== null && c !== undefined));
  return made;
}

const button = (text, click, attributes) =>
  node("button", { type: "button", onclick: click, ...attributes }, text);

// JSON has no number for infinities and NaN: they come as words.
const real = v => typeof v === "number" ? v : v === "inf" ? Infinity : v === "-inf" ? -Infinity : NaN;
const whole = n => n.toLocaleString("en-US");

function short(v) {
  if (v === -1 || v === null || v === undefined) return "";
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
  const size = Math.abs(v);
  if (v === 0) return "0";
  if (size >= 9999.5 || size < 0.005) {
    const [mantissa, exponent] = v.toExponential(1).split("e");
    return `${mantissa.replace(/\.0$/, "")}e${Number(exponent)}`;
  }
  return v.toFixed(size >= 99.95 ? 0 : 2);
}

const time = ms => ms < 0 ? "" : ms >= 999.5 ? `${short(ms / 1e3)} s` : `${short(ms)} ms`;

// As Python's shlex.quote, which made the lines of failures.
const quoted = text => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'"'"'`)}'`;

function copyable(text, label) {
  const says = node("span", {}, "Copy");
  const made = button(says, async () => {
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch { done = byHand(line); }
    says.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { says.textContent = "Copy"; }, 1500);
  }, { class: "quiet", "aria-label": `Copy ${label}` });
  const line = node("code", {}, text);
  return node("div", { class: "copy" }, line, made);
}

// Pages opened from a disk may not write to the clipboard everywhere.
function byHand(line) {
  const range = document.createRange();
  range.selectNodeContents(line);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  try { return document.execCommand("copy"); } catch { return false; }
}

// Makes the first items, and more of them when asked for.
function inParts(host, more, items, make, size, what) {
  let shown = 0;
  const add = () => {
    const next = items.slice ? items.slice(shown, shown + size) : items.subarray(shown, shown + size);
    host.append(...Array.from(next, make));
    shown += next.length;
    const left = items.length - shown;
    more.replaceChildren(...(left > 0
      ? [button(`Show ${whole(Math.min(left, size))} more`, add),
         node("span", { class: "dim" }, `${whole(left)} of ${whole(items.length)} ${what} are not shown yet`)]
      : []));
  };
  add();
}

// Makes items while the end of what is there comes near: thousands of rows cost nothing unseen.
function asSeen(box, host, items, make, size) {
  let shown = 0;
  const add = () => {
    const next = items.slice(shown, shown + size);
    host.append(...next.map(make));
    shown += next.length;
  };
  const near = () => {
    while (shown < items.length && box.scrollTop + 2 * box.clientHeight + 400 > host.scrollHeight
           && host.isConnected) add();
  };
  add();
  box.onscroll = near;
  return { near, all: () => { while (shown < items.length) add(); } };
}

function picked(label, options, value, change) {
  const select = node("select", { "aria-label": label, onchange: e => change(e.target.value) },
    options.map(([v, text]) => node("option", { value: v, selected: v === value }, text)));
  return node("label", {}, node("span", {}, label), select);
}
