// The filter, the address, the keyboard, and who draws what.

let chosen;
const DRAWN = [drawFailures, drawOp, drawMatrix, drawCases];
const BELOW = [accuracyOps, drawDomain, drawTimes];  // below the fold: drawn when the rest is on screen
let pending = 0;

function show() {
  chosen = choose(state);
  for (const [key, select] of Object.entries(selects)) select.value = state[key];
  if (byId("q").value.trim() !== state.q) byId("q").value = state.q;
  const t = tally(chosen.hits);
  byId("clear").hidden = KEYS.every(k => !state[k]);
  byId("count").textContent = chosen.unknown.length ? noCase()
    : `${whole(t.n)} of ${whole(N)} cases` + (t.n ? `: ${told(t).map(([s, n]) => `${whole(n)} ${s}`).join(", ")}` : "");
  for (const draw of DRAWN) draw();
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(() => setTimeout(() => BELOW.forEach(draw => draw()), 0));
}

// Goes to cases of an op, within the filter, and takes the eyes and the focus there.
function open_(where, place) {
  go(where);
  const target = byId(place || "op");
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}

const selects = {};
function drawFilter() {
  const host = byId("selects");
  const all = { op: "Op", judge: "Judge", device: "Device", dtype: "Type", layout: "Layout", status: "Status" };
  const present = D.statuses.filter((_, k) => C.status.includes(k));
  for (const [key, label] of Object.entries(all)) {
    const names = key === "status" ? present : key === "op" ? [...D.ops].sort() : LISTS[key];
    const choices = [["", "all"], ...(key === "status" && D.wrong ? [["wrong", "any failure"]] : []), ...names.map(n => [n, n])];
    const made = picked(label, choices, "", value => go({ [key]: value }));
    selects[key] = made.querySelector("select");
    host.append(made);
  }
  let wait;
  byId("q").addEventListener("input", e => {
    clearTimeout(wait);
    wait = setTimeout(() => go({ q: e.target.value.trim() }, true), 120);
  });
  byId("filter").addEventListener("submit", e => e.preventDefault());
  byId("clear").addEventListener("click", () => { go(nothing); byId("q").focus(); });
}

function follow(event) {
  const link = event.target.closest("a[href^='#']");
  if (!link) return;
  const target = byId(link.hash.slice(1));
  event.preventDefault();  // the address holds the filter
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}

const prefers = matchMedia("(prefers-color-scheme: dark)");
function scheme(chosenOne) {
  const root = document.documentElement;
  if (chosenOne) root.dataset.theme = chosenOne;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : prefers.matches;
  byId("theme").textContent = dark ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to ${dark ? "light" : "dark"} colours`);
}

function remembered(value) {
  try {
    if (value) localStorage.setItem("needle-verify-theme", value);
    return localStorage.getItem("needle-verify-theme");
  } catch { return null; }  // pages from a disk may have no storage
}

byId("theme").addEventListener("click", () => {
  const next = byId("theme").textContent.toLowerCase();
  remembered(next);
  scheme(next);
});
prefers.addEventListener("change", () => scheme());
narrow.addEventListener("change", () => show());
document.addEventListener("click", follow);
document.addEventListener("keydown", e => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey) { e.preventDefault(); byId("q").focus(); }
  if (e.key === "Escape" && e.target.id === "q" && state.q) go({ q: "" });
});
function returned() {
  const next = read();
  if (KEYS.some(k => next[k] !== state[k])) { state = next; show(); }
  const y = (history.state || {}).y;
  if (y !== undefined) { if (matrix) matrix.near(); scrollTo(0, y); }
}
addEventListener("popstate", returned);
addEventListener("hashchange", returned);
addEventListener("beforeprint", () => matrix.all());
history.scrollRestoration = "manual";

scheme(remembered());
drawFilter();
matrixOptions();
caseOptions();
state = read();
show();
drawSpeed();
drawChanges();
if (state.op) byId("op").scrollIntoView({ block: "start" });
else if (location.hash.length > 1 && !location.hash.includes("=")) { const to = byId(location.hash.slice(1)); if (to) to.scrollIntoView(); }
document.documentElement.dataset.ready = "yes";
