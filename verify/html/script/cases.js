// Failures first, each with what is needed to mend it; then the list of all cases.

let order = "worst";
const failed = new Map(D.failures.map(f => [f[0], f]));

function drawFailures() {
  const host = byId("failure-list"), more = node("p"), list = node("div");
  const found = D.failures.filter(([i]) => chosen.marks[i]);
  let wrong = 0;
  for (const i of chosen.hits) wrong += isWrong[C.status[i]];
  byId("failures-h").textContent = wrong ? `Failures (${whole(wrong)})` : "Failures";
  byId("failures").classList.toggle("good", !wrong);
  const untold = wrong - found.length;
  host.replaceChildren(
    wrong ? "" : node("p", { class: "note" }, D.wrong ? "None fits the filter." : "None: nothing that was judged is wrong."),
    list, more,
    untold > 0 ? node("p", { class: "note" }, `${whole(untold)} more are in the list of cases, their texts in the results file.`) : "");
  inParts(list, more, found, (f, k) => failure(f, k < (narrow.matches ? 1 : 3)), 10, "failures");
}

function failure([i, text, small, terms, attribution, replay], open) {
  const g = GROUPS[groupOf[i]], status = D.statuses[C.status[i]];
  const rest = idOf(i).split("/").slice(1).join(" / ");
  return node("details", { class: "failure", open },
    node("summary", {}, node("span", { class: "badge wrong" }, status), " ",
      node("b", {}, D.ops[g.op]), " ", node("span", { class: "path" }, rest)),
    node("div", { class: "inside" },
      text ? node("pre", {}, text) : "",
      attribution ? node("p", {}, node("b", {}, "Who is wrong: "), attribution) : "",
      small ? [node("h3", { class: "term" }, "Smallest input that shows it"), node("pre", {}, small)] : "",
      terms.length ? [node("h3", { class: "term" }, "Error budget"), budget(terms)] : "",
      node("h3", { class: "term" }, "Replay"), replay.map((line, k) =>
        copyable(line, k ? "the line that replays the smallest input" : "the line that replays the case")),
      node("p", {}, button(`All of ${D.ops[g.op]}`, () => open_({ ...nothing, op: D.ops[g.op] }), { class: "quiet" }))));
}

// The bound's terms; what each operation adds is drawn as its share of the bound.
function budget(terms) {
  const by = Object.fromEntries(terms), bound = real(by.bound ?? by["disagreement and noise"] ?? NaN);
  return node("table", { class: "budget" }, node("tbody", {}, terms.map(([name, value]) => {
    const v = real(value), share = name === "bound" || name === "error" ? NaN : v / bound;
    const bar = node("span", { class: "bar" });
    const seen = name.startsWith("rounding of ") && share > 0 && share <= 1;
    if (seen) bar.style.width = `${(share * 100).toFixed(1)}%`;
    return node("tr", {}, node("th", { scope: "row" }, name), node("td", { class: "n" }, short(v)),
      node("td", { class: "share" }, seen ? [bar, node("span", { class: "dim" }, `${(share * 100).toFixed(0)} % of the bound`)]
        : name === "error" && bound > 0 ? `${short(v / bound)} × the bound` : ""));
  })));
}

function caseOptions() {
  byId("case-options").replaceChildren(picked("Order",
    [["worst", "worst first"], ["ulp", "largest ULP first"], ["slow", "slowest first"], ["plan", "as planned"]],
    order, value => { order = value; drawCases(); }));
}

function inOrder(hits) {
  if (order === "plan") return hits;
  const key = new Float64Array(N);
  for (const i of hits) {
    const v = order === "slow" ? C.ms[i] : order === "ulp" ? C.ulp[i] : C.rho[i];
    key[i] = order === "worst" && isWrong[C.status[i]] ? Infinity : Number.isNaN(v) ? Number.MAX_VALUE : v;
  }
  return Int32Array.from(hits).sort((a, b) => key[a] === key[b] ? a - b : key[b] > key[a] ? 1 : -1);
}

function drawCases() {
  byId("cases-h").textContent = `Cases (${whole(chosen.hits.length)})`;
  const body = node("tbody");
  const heads = ["", "status", "op", "judge", "device", "type", "shapes", "arguments", "layout", "region", "rho", "ULP", "ms"];
  byId("case-box").replaceChildren(chosen.hits.length ? node("table", { class: "cases" },
    node("caption", { class: "sr" }, "Cases that fit the filter"),
    node("thead", {}, node("tr", {}, heads.map((t, k) =>
      node("th", { scope: "col", class: k > 9 ? "n" : "" }, t || node("span", { class: "sr" }, "details"))))),
    body) : node("p", { class: "note" }, noCase()));
  inParts(body, byId("case-more"), inOrder(chosen.hits), caseRow, narrow.matches ? 15 : 50, "cases");
}

// A filter that meets no case says why, where it is the plan's own doing.
function noCase() {
  if (chosen.unknown.length) return `This run has no ${chosen.unknown.map(k => `${k} ${state[k]}`).join(", no ")}.`;
  if (!state.op || state.q || state.status) return "No case fits the filter.";
  const op = D.ops.indexOf(state.op);
  const rows = D.rows.map((_, r) => r).filter(r =>
    (!state.device || D.devices[D.rows[r][0]] === state.device) && (!state.dtype || D.dtypes[D.rows[r][1]] === state.dtype));
  const column = state.layout ? D.layouts.indexOf(state.layout) : D.judges.indexOf(state.judge);
  return column < 0 ? "No case fits the filter." : `No case: ${whyNone(op, rows, column, Boolean(state.layout))}.`;
}

function caseRow(i) {
  const g = GROUPS[groupOf[i]], status = D.statuses[C.status[i]];
  const [shapes, ...args] = D.shapes[C.shapes[i]].split("/");
  const tone = isWrong[C.status[i]] ? "wrong" : { PASS: "pass", WEAK: "weak" }[status] || "none";
  const toggle = button("▸", () => opened(line, toggle, i),
    { class: "toggle", "aria-expanded": "false", "aria-label": `Details of ${idOf(i)}` });
  const line = node("tr", {}, node("td", {}, toggle),
    node("td", {}, node("span", { class: `badge ${tone}` }, status)),
    node("th", { scope: "row" }, D.ops[g.op]), node("td", {}, D.judges[g.judge]),
    node("td", {}, D.devices[g.device]), node("td", {}, D.dtypes[g.dtype]),
    node("td", { class: "m" }, shapes), node("td", { class: "m" }, args.join("/").replace(/^-$/, "")),
    node("td", {}, D.layouts[C.layout[i]]), node("td", {}, D.regions[C.region[i]].split("/")[0]),
    [C.rho, C.ulp].map(column => node("td", { class: "n" }, short(column[i]))),
    node("td", { class: "n" }, short(C.ms[i])));
  return line;
}

function opened(line, toggle, i) {
  const open = toggle.getAttribute("aria-expanded") !== "true";
  toggle.setAttribute("aria-expanded", String(open));
  toggle.textContent = open ? "▾" : "▸";
  if (!open) { line.nextSibling.remove(); return; }
  const more = D.growth[i];
  line.after(node("tr", { class: "detail" }, node("td", { colspan: 13 }, node("div", { class: "inside" },
    failed.has(i) ? failure(failed.get(i), true) : [
      D.worst[i] ? node("pre", {}, D.worst[i]) : "",
      i in D.notes ? node("p", {}, D.said[D.notes[i]]) : "",
      more ? budget(Object.entries(more)) : "",
      copyable(replayOf(i), "the line that replays the case")]))));
}
