// What was handed over beside the results: accuracy, speed, an earlier run.

function accuracyOps() {
  const by = new Map();
  for (const i of chosen.hits) {
    if (isWrong[C.status[i]]) continue;
    const op = GROUPS[groupOf[i]].op;
    if (!by.has(op)) by.set(op, { op, rho: [], ulp: -1, worst: i });
    const one = by.get(op);
    if (C.rho[i] >= 0) one.rho.push(C.rho[i]);
    if (C.rho[i] > C.rho[one.worst]) one.worst = i;
    if (C.ulp[i] > one.ulp) one.ulp = C.ulp[i];
  }
  const found = [...by.values()].filter(o => o.rho.length).sort((a, b) => C.rho[b.worst] - C.rho[a.worst]);
  const body = node("tbody"), more = node("p");
  const exact = by.size - found.length;
  byId("accuracy-ops").replaceChildren(
    node("p", { class: "dim" }, "rho is the measured error divided by its derived bound: up to 1 is right, and near 1 the bound is tight. "
      + `${whole(found.length)} ops have one` + (exact ? `; the other ${whole(exact)} are exact: equal or not.` : ".")),
    found.length ? node("div", { class: "wide" }, node("table", { class: "facts" }, node("thead", {}, node("tr", {},
      ["op", "cases", "half ≤", "99 % ≤", "worst rho", "", "worst ULP", "worst case"].map((t, k) =>
        node("th", { scope: "col", class: k && k < 7 && k !== 5 ? "n" : "" }, t || node("span", { class: "sr" }, "chart"))))), body)) : "", more);
  inParts(body, more, found, o => {
    const s = o.rho.sort((a, b) => a - b);
    return node("tr", {}, node("th", { scope: "row" }, button(D.ops[o.op], () => open_({ op: D.ops[o.op] }), { class: "link" })),
      [whole(s.length), short(median(s, 0.5)), short(median(s, 0.99)), short(s.at(-1))].map(t => node("td", { class: "n" }, t)),
      node("td", {}, strip(median(s, 0.5), median(s, 0.99), s.at(-1))), node("td", { class: "n" }, short(o.ulp)),
      node("td", { class: "m" }, idOf(o.worst).split("/").slice(1, -1).join(" / ")));
  }, 15, "ops");
}

const strip = (half, most, worst) => {
  const X = v => 5 + Math.min(v, 1) * 110;
  return drawn("svg", { viewBox: "0 0 120 14", class: "strip", "aria-hidden": "true" }, stroke(5, 7, 115, 7, "grid"),
    stroke(X(half), 7, X(most), 7, "thick"), drawn("circle", { cx: X(half), cy: 7, r: 3, class: "d0" }),
    drawn("circle", { cx: X(worst), cy: 7, r: 3.5, class: "ring" }));
};

const functionNames = [...new Set((D.accuracy || []).flatMap(f => f.rows.map(r => r.op)))];
let shownFunction = functionNames.includes("tanh") ? "tanh" : functionNames[0];

function drawDomain() {
  const host = byId("domain");
  if (!host) return;
  if (functionNames.includes(state.op)) shownFunction = state.op;
  host.replaceChildren(node("div", { class: "selects" }, picked("Function", functionNames.map(n => [n, n]), shownFunction,
    value => { shownFunction = value; drawDomain(); })), functionChart(shownFunction));
}

// A chart for each type and form, a line for each device of each file.
function functionChart(op) {
  const rows = D.accuracy.flatMap(f => f.rows.filter(r => r.op === op).map(r => ({ ...r, file: f.file, origin: f.origin,
    name: [r.device, r.isa].filter(Boolean).join(" "), colour: colourOf(r.device) })));
  const kinds = [...new Set(rows.map(r => `${r.dtype} ${r.form}`.trim()))];
  return node("div", {}, kinds.map(kind => {
    const here = rows.filter(r => `${r.dtype} ${r.form}`.trim() === kind);
    const lines = here.every(r => r.domain.length);
    return node("div", { class: "card" }, node("h3", {}, `${op} over its domain, ${kind}`), overDomain(here),
      node("p", { class: "dim" }, lines ? "Lines: the largest error in each binade." : "Pins: the largest error among normal results and among denormal ones, at their arguments; "
        + "a calibration that records errors by binade has lines."),
      node("div", { class: "wide" }, node("table", { class: "facts" }, node("thead", {}, node("tr", {},
        ["device", "arguments", "half ≤", "99 % ≤", "99.9 % ≤", "worst", "at", "mean", "file"].map((t, k) =>
          node("th", { scope: "col", class: k && k < 8 ? "n" : "" }, t)))),
      node("tbody", {}, here.map(r => node("tr", {}, node("th", { scope: "row" }, node("span", { class: `key d${r.colour}` }), r.name),
        [r.every ? "all 2³²" : whole(r.count), ...r.levels.map(v => short(real(v))), short(real(r.most)), String(r.worst[0]),
          short(real(r.mean))].map(t => node("td", { class: "n" }, t)),
        node("td", { class: "file", title: r.origin }, r.file)))))));
  }));
}

// --- speed

function speedRows(rows) {
  const logsOf = rows.flatMap(r => [r[4], r[5]]).map(Math.log2);
  // one call that is thousands of times faster must not press all others together: it lies at the edge
  const least = Math.min(...logsOf), most = Math.max(...logsOf), far = 5;
  const low = Math.max(-far, Math.floor(Math.min(-1, least))), high = Math.min(far, Math.ceil(Math.max(1, most)));
  const X = v => 4 + (Math.min(high, Math.max(low, Math.log2(v))) - low) / (high - low) * 192;
  const body = node("tbody"), more = node("p");
  const limits = rows.some(r => r[10] >= 0);
  const heads = ["call", "type", "threads", "ratio", "", "needle", "torch", "GB/s", "GFLOP/s", ...(limits ? ["of the limit"] : [])];
  const us = v => v >= 999.5 ? `${short(v / 1e3)} ms` : `${short(v)} µs`;
  const made = node("div", {}, node("div", { class: "wide" }, node("table", { class: "facts" }, node("caption", { class: "sr" }, "Ratios to torch, slowest first"),
    node("thead", {}, node("tr", {}, heads.map((t, k) => node("th", { scope: "col", class: k > 1 && k !== 4 ? "n" : "" },
      k === 4 ? `${short(2 ** low)}${least < low ? " and less" : ""} – ${short(2 ** high)}${most > high ? " and more" : ""} ×` : t)))), body)), more);
  inParts(body, more, [...rows].sort((a, b) => a[3] - b[3]), r => node("tr", {}, node("th", { scope: "row" }, r[0]), node("td", {}, r[1]),
    node("td", { class: "n" }, r[2]), node("td", { class: "n" }, `${r[3].toFixed(2)} ×`),
    node("td", {}, drawn("svg", { viewBox: "0 0 200 14", class: "strip long", "aria-hidden": "true" }, stroke(X(1), 0, X(1), 14, "axis"),
      stroke(X(r[4]), 7, X(r[5]), 7, "thick"), drawn("circle", { cx: X(r[3]), cy: 7, r: 3.5, class: r[3] < 1 ? "slow" : "d0" }))),
    [us(r[6]), us(r[7]), short(r[8]), short(r[9]), ...(limits ? [r[10] < 0 ? "" : `${(r[10] * 100).toFixed(0)} %`] : [])].map(t =>
      node("td", { class: "n" }, t))), 15, "rows");
  return made;
}

function drawSpeed() {
  const host = byId("ratios");
  if (!host) return;
  const { rows, limits, left, means } = D.speed;
  const both = (dtype, threads) => rows.filter(r => r[1] === dtype && (!threads || r[2] === threads) && r[8] > 0 && r[9] > 0);
  const moved = k => /^(copy|read)/.test(k), on = threads => threads ? `, ${threads} thread(s)` : "";
  const roofs = limits.flatMap(([threads, of]) => Object.keys(of).filter(k => !moved(k) && of.copy && both(k, threads).length)
    .map(dtype => [dtype, threads, of]));
  host.replaceChildren(
    node("dl", { class: "tiles" }, Object.entries(means).map(([name, mean]) => node("div", {}, node("dt", {}, `geometric mean, ${name}`),
      node("dd", {}, `${mean.toFixed(2)} ×`)))),
    speedRows(rows),
    left.length ? node("p", { class: "note" }, `${whole(left.length)} rows were not measured: ${left.slice(0, 3).join("; ")}${left[3] ? "; …" : ""}`) : "",
    ...(limits.length ? [...limits.map(([threads, of]) => node("p", { class: "note" }, `Limits measured in the same run${on(threads)}: ${Object.entries(of)
      .filter(([k]) => !sized(k)).map(([k, v]) => moved(k) ? `${short(v / 1e9)} GB/s ${k}` : `${short(v / 1e9)} GFLOP/s in ${k}`).join(", ")}.`)), bySize(limits)]
      : [node("p", { class: "note" }, "No roofline: this file holds no limits of the device, which needle-verify bench measures. Without them GB/s and GFLOP/s stand alone.")]),
    node("div", { class: "charts" }, roofs.map(([dtype, threads, of]) => node("div", { class: "card" }, node("h3", {}, `Roofline, ${dtype}${on(threads)}`),
      roofline(both(dtype, threads).map(r => ({ x: r[9] / r[8], y: r[9], name: `${r[0]}: ${short(r[9])} GFLOP/s` })),
        Object.entries(of).filter(([k]) => k.startsWith("copy")).map(([, v]) => v / 1e9), of[dtype] / 1e9)))));
}

// What copies and reads of memory and of the caches reach.
const sized = name => /^(copy|read) \d/.test(name);
function bySize(limits) {
  const sizes = [...new Set(limits.flatMap(([, of]) => Object.keys(of).filter(sized).map(k => k.slice(5))))];
  if (!sizes.length) return "";
  const columns = limits.flatMap(([threads, of]) => ["copy", "read"].map(kind => [`${kind}${threads ? `, ${threads} thread(s)` : ""}`, kind, of]));
  return node("details", {}, node("summary", {}, "GB/s by the size of what is moved"), node("div", { class: "wide" }, node("table", { class: "facts" },
    node("thead", {}, node("tr", {}, ["size", ...columns.map(([name]) => name)].map((t, k) => node("th", { scope: "col", class: k ? "n" : "" }, t)))),
    node("tbody", {}, sizes.map(size => node("tr", {}, node("th", { scope: "row" }, size),
      columns.map(([, kind, of]) => node("td", { class: "n" }, short((of[`${kind} ${size}`] ?? -1e9) / 1e9)))))))));
}

function speedOf(op) {
  const name = op.replace(/^.*\./, "").toLowerCase();
  const rows = ((D.speed || {}).rows || []).filter(r => r[0].toLowerCase().split(/[\s,]+/)[0] === name);
  return rows.length ? node("div", { class: "card" }, node("h3", {}, "Speed beside torch"), speedRows(rows)) : "";
}

function drawTimes() {
  const by = new Map();
  for (const i of chosen.hits) {
    const op = GROUPS[groupOf[i]].op;
    if (!by.has(op)) by.set(op, [op, 0, 0]);
    by.get(op)[1] += Math.max(0, C.ms[i]);
    by.get(op)[2]++;
  }
  const found = [...by.values()].sort((a, b) => b[1] - a[1]), most = found.length ? found[0][1] : 1;
  const body = node("tbody"), more = node("p");
  byId("times").replaceChildren(node("p", { class: "dim" }, "Seconds that judges took, torch's share included: what a run costs, not how fast needle is."),
    node("div", { class: "wide" }, node("table", { class: "facts" }, node("thead", {}, node("tr", {}, ["op", "cases", "time", "a case", ""].map((t, k) =>
      node("th", { scope: "col", class: k && k < 4 ? "n" : "" }, t || node("span", { class: "sr" }, "share"))))), body)), more);
  inParts(body, more, found, ([op, ms, n]) => {
    const bar = node("span", { class: "bar" });
    bar.style.width = `${(ms / most * 100 || 0).toFixed(1)}%`;
    return node("tr", {}, node("th", { scope: "row" }, button(D.ops[op], () => open_({ op: D.ops[op] }), { class: "link" })),
      [whole(n), time(ms), time(ms / n)].map(t => node("td", { class: "n" }, t)), node("td", { class: "share" }, bar));
  }, 8, "ops");
}

// --- an earlier run

function drawChanges() {
  const host = byId("change-list");
  if (!host) return;
  const list = node("ul", { class: "plain" }), more = node("p");
  host.replaceChildren(D.changes.length ? list : node("p", { class: "note" }, "Nothing is other than it was."), more);
  const known = new Set(D.ops);
  inParts(list, more, D.changes, ([before, after, subject, text, worse]) => node("li", {},
    node("span", { class: `badge ${worse ? "wrong" : "pass"}` }, before ? `${before} → ${after}` : after), " ",
    known.has(subject.split("/")[0]) ? button(subject, () => {
      const [op, judge, device, dtype] = subject.split("/");
      open_(Object.fromEntries(Object.entries({ ...nothing, op, judge, device, dtype }).filter(([k, v]) => !v || LISTS[k].includes(v))), "cases");
    }, { class: "link m" }) : node("code", {}, subject), text ? node("p", {}, text) : ""), 20, "changes");
  if (!D.compared.length) return;
  const body = node("tbody"), rest = node("p"), heads = ["cases", "rho 99 %", "largest rho", "seconds"];
  host.append(node("div", { class: "wide" }, node("table", { class: "facts" }, node("caption", { class: "sr" }, "Ops then and now"),
    node("thead", {}, node("tr", {}, node("th", { scope: "col" }, "op"), heads.flatMap(t => ["then", "now"].map(when =>
      node("th", { scope: "col", class: "n" }, `${t} ${when}`))))), body)), rest);
  const moved = ([, , , , , a, b]) => real(a) > 0 && real(b) > 0 ? Math.abs(Math.log(real(b) / real(a))) : 0;
  inParts(body, rest, [...D.compared].sort((a, b) => moved(b) - moved(a)), ([op, ...cells]) => node("tr", {},
    node("th", { scope: "row" }, known.has(op) ? button(op, () => open_({ op }), { class: "link" }) : op),
    cells.map(v => node("td", { class: "n" }, short(real(v))))), 12, "ops");
}
