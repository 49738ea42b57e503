// One op: what it is, how far off it is on each device, and how that grows.

const colourOf = name => ["cpu", "numpy", "cuda_sim", "cuda", "torch"].indexOf(name) < 0 ? 5
  : ["cpu", "numpy", "cuda_sim", "cuda", "torch"].indexOf(name);

const elements = shapes => shapes.split("/")[0].split(",").reduce((sum, s) =>
  sum + (s === "-" ? 0 : s === "0d" ? 1 : s.split("x").reduce((p, k) => p * Number(k), 1)), 0);

function drawOp() {
  const host = byId("op");
  host.hidden = !D.ops.includes(state.op);
  if (host.hidden) { host.replaceChildren(); return; }
  const op = D.ops.indexOf(state.op);
  const parts = D.rows.map(([device, dtype], row) => {
    const cases = [];
    for (const g of GROUPS) if (g.op === op && g.row === row)
      for (let i = g.begin; i < g.begin + g.count; i++) if (chosen.marks[i]) cases.push(i);
    return { cases, dtype, colour: colourOf(D.devices[device]), name: `${D.devices[device]} · ${D.dtypes[dtype]}`,
      rho: C.rho, ulp: C.ulp, t: tally(cases) };
  }).filter(p => p.cases.length);
  const beside = [...parts, ...torchs(parts)];
  const of = kind => beside.map(p => ({ ...p, values: p.cases.map(i => p[kind][i]).filter(v => v >= 0) }));
  const points = kind => beside.flatMap(p => p.cases.filter(i => p[kind][i] >= 0).map(i => ({
    x: elements(D.shapes[C.shapes[i]]), y: p[kind][i], colour: p.colour, name: `${p.name}: ${short(p[kind][i])}, ${idOf(i)}` })));
  const where = ["judge", "device", "dtype", "layout", "status"].filter(k => state[k]).map(k => state[k]);
  const functions = (D.accuracy || []).flatMap(f => f.rows.filter(r => r.op === state.op));
  host.replaceChildren(
    node("div", { class: "head" }, node("h2", { id: "op-h" }, state.op, where.length
      ? node("span", { class: "dim" }, ` ${where.join(" · ")}`) : ""),
      button("Back to all ops", () => go(nothing), { class: "quiet" })),
    parts.length ? "" : node("p", { class: "note" }, noCase()),
    parts.length ? opTable(beside, functions) : "",
    parts.length ? node("div", { class: "charts" },
      node("div", { class: "card" }, node("h3", {}, "Error in ULP of the result"), histograms(of("ulp"), ULPS, ULP_NAMES, "ULP", Infinity)),
      node("div", { class: "card" }, node("h3", {}, "Error by its bound: rho"), histograms(of("rho"), RHOS, RHO_NAMES, "rho", 1)),
      node("div", { class: "card" }, node("h3", {}, "ULP by size"), scatter(points("ulp"), "ULP", false)),
      node("div", { class: "card" }, node("h3", {}, "rho by size"), scatter(points("rho"), "rho", true))) : "",
    worstTable(parts), growthTable(op), functions.length ? functionChart(state.op) : "", speedOf(state.op));
}

// torch's own results in each type, once: the first device's cases hold them, as the others' do.
function torchs(parts) {
  const known = parts.map(p => ({ ...p, cases: p.cases.filter(i => C.torchUlp[i] >= 0) })).filter(p => p.cases.length);
  return known.filter((p, k) => known.findIndex(q => q.dtype === p.dtype) === k).map(p => ({
    cases: p.cases, colour: 4, name: `torch · ${D.dtypes[p.dtype]}`, rho: C.torchRho, ulp: C.torchUlp, bound: p.name }));
}

// Every device and type side by side, and torch itself.
function opTable(parts, functions) {
  const heads = ["device · type", "cases", "wrong", "rho 50 %", "rho 99 %", "rho worst", "ULP 50 %", "ULP 99 %", "ULP worst", "time"];
  const level = (values, q) => { const s = values.filter(v => v >= 0).sort((a, b) => a - b); return short(s.length ? median(s, q) : -1); };
  const rows = parts.map(p => {
    const rho = p.cases.map(i => p.rho[i]), ulp = p.cases.map(i => p.ulp[i]);
    const wrong = p.t ? whole(p.cases.filter(i => isWrong[C.status[i]]).length) : "";
    return [p.colour, p.name, whole(p.cases.length), wrong, level(rho, 0.5), level(rho, 0.99), p.t ? short(p.t.rho) : level(rho, 1),
      level(ulp, 0.5), level(ulp, 0.99), p.t ? short(p.t.ulp) : level(ulp, 1), p.t ? time(p.t.ms) : ""];
  });
  for (const f of functions.filter(f => f.device === "torch")) {
    const levels = f.levels.map(real);
    rows.push([4, `torch ${f.form} · ${f.dtype}`, `${short(f.count)} arguments`, "", "", "", "", short(levels[0]), short(levels[1]), short(real(f.most)), ""]);
  }
  const own = parts.find(p => !p.t);
  const torch = node("p", { class: "note" }, own
    ? `torch: its own results for the forward and vjp cases, in their type; its rho is by the bound of ${own.bound}.`
    : "torch's own error is measured in forward and vjp cases of less than 64 bits: in float64 torch is what the others are held against.");
  return node("div", {}, node("div", { class: "wide" }, node("table", { class: "facts" },
    node("caption", { class: "sr" }, "Errors by device and type"),
    node("thead", {}, node("tr", {}, heads.map((t, k) => node("th", { scope: "col", class: k ? "n" : "" }, t)))),
    node("tbody", {}, rows.map(([colour, ...cells]) => node("tr", {}, cells.map((text, k) => k
      ? node("td", { class: k === 2 && text && text !== "0" ? "n wrong" : "n" }, text)
      : node("th", { scope: "row" }, node("span", { class: `key d${colour}` }), text))))))), torch);
}

// The cases that use most of their bound, and those furthest off in ULP.
function worstTable(parts) {
  const top = (cases, column) => cases.reduce((best, i) => column[i] >= 0 && !(column[i] <= column[best]) ? i : best, cases[0]);
  const rows = parts.flatMap(p => [...new Set([top(p.cases, C.rho), top(p.cases, C.ulp)])].filter(i => C.rho[i] >= 0 || C.ulp[i] >= 0).map(i => [p, i]));
  if (!rows.length) return "";
  return node("div", { class: "card" }, node("h3", {}, "Worst cases"), node("div", { class: "wide" }, node("table", { class: "facts" },
    node("thead", {}, node("tr", {}, ["device · type", "rho", "ULP", "case", "the element of its largest rho"].map((t, k) => node("th", { scope: "col", class: k === 1 || k === 2 ? "n" : "" }, t)))),
    node("tbody", {}, rows.map(([p, i]) => node("tr", {}, node("th", { scope: "row" }, node("span", { class: `key d${p.colour}` }), p.name),
      node("td", { class: "n" }, short(C.rho[i])), node("td", { class: "n" }, short(C.ulp[i])),
      node("td", { class: "m" }, idOf(i).split("/").filter((_, k) => ![0, 2, 3, 8].includes(k)).join(" / ")),
      node("td", { class: "m equation" }, D.worst[i] || (failed.has(i) ? failed.get(i)[1].split("\n")[0] : ""))))))));
}

// What the judge growth saw at sums of more and more terms.
function growthTable(op) {
  const kinds = ["signed", "positive", "constant"];
  const rows = [];
  for (const g of GROUPS) if (g.op === op && D.judges[g.judge] === "growth")
    for (let i = g.begin; i < g.begin + g.count; i++) if (chosen.marks[i] && D.growth[i]) rows.push([g, i, D.growth[i]]);
  if (!rows.length) return "";
  const exponent = v => v === undefined ? node("span", { class: "dim" }, "no error") : `n^${real(v).toFixed(2)}`;
  return node("div", { class: "card" }, node("h3", {}, "Growth with the length of the sum"),
    node("p", { class: "dim" }, "How the relative error grows from 17 terms to the longest sum. n^1 is one rounding a term all one way, n^0.5 chance, n^0 none."),
    node("div", { class: "wide" }, node("table", { class: "facts" }, node("thead", {}, node("tr", {},
      ["device · type", "shapes", "rho", "error", "bound", ...kinds].map((t, k) => node("th", { scope: "col", class: k > 1 ? "n" : "" }, t)))),
    node("tbody", {}, rows.map(([g, i, v]) => node("tr", {},
      node("th", { scope: "row" }, node("span", { class: `key d${colourOf(D.devices[g.device])}` }), `${D.devices[g.device]} · ${D.dtypes[g.dtype]}`),
      node("td", { class: "m" }, D.shapes[C.shapes[i]].replace(/\/-$/, "")), node("td", { class: "n" }, short(C.rho[i])),
      node("td", { class: "n" }, short(real(v.error ?? -1))), node("td", { class: "n" }, short(real(v.bound ?? -1))),
      kinds.map(k => node("td", { class: "n" }, exponent(v[`exponent, ${k}`])))))))));
}
