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
    return { cases, colour: colourOf(D.devices[device]), name: `${D.devices[device]} · ${D.dtypes[dtype]}`, t: tally(cases) };
  }).filter(p => p.cases.length);
  const of = column => parts.map(p => ({ ...p, values: p.cases.map(i => column[i]).filter(v => v >= 0) }));
  const points = column => parts.flatMap(p => p.cases.filter(i => column[i] >= 0).map(i => ({
    x: elements(D.shapes[C.shapes[i]]), y: column[i], colour: p.colour, name: `${p.name}: ${short(column[i])}, ${idOf(i)}` })));
  const where = ["judge", "device", "dtype", "layout", "status"].filter(k => state[k]).map(k => state[k]);
  const functions = (D.accuracy || []).flatMap(f => f.rows.filter(r => r.op === state.op));
  host.replaceChildren(
    node("div", { class: "head" }, node("h2", { id: "op-h" }, state.op, where.length
      ? node("span", { class: "dim" }, ` ${where.join(" · ")}`) : ""),
      button("Back to all ops", () => go(nothing), { class: "quiet" })),
    parts.length ? "" : node("p", { class: "note" }, noCase()),
    parts.length ? opTable(parts, functions) : "",
    parts.length ? node("div", { class: "charts" },
      node("div", { class: "card" }, node("h3", {}, "Error in ULP of the result"), histograms(of(C.ulp), ULPS, ULP_NAMES, "ULP", Infinity)),
      node("div", { class: "card" }, node("h3", {}, "Error by its bound: rho"), histograms(of(C.rho), RHOS, RHO_NAMES, "rho", 1)),
      node("div", { class: "card" }, node("h3", {}, "ULP by size"), scatter(points(C.ulp), "ULP", false)),
      node("div", { class: "card" }, node("h3", {}, "rho by size"), scatter(points(C.rho), "rho", true))) : "",
    worstTable(parts), growthTable(op), functions.length ? functionChart(state.op) : "", speedOf(state.op));
}

// Every device and type side by side; torch itself where a calibration was handed over.
function opTable(parts, functions) {
  const heads = ["device · type", "cases", "wrong", "rho 50 %", "rho 99 %", "rho worst", "ULP 50 %", "ULP 99 %", "ULP worst", "time"];
  const level = (values, q) => { const s = values.filter(v => v >= 0).sort((a, b) => a - b); return short(s.length ? median(s, q) : -1); };
  const rows = parts.map(p => {
    const rho = p.cases.map(i => C.rho[i]), ulp = p.cases.map(i => C.ulp[i]);
    const wrong = p.cases.filter(i => isWrong[C.status[i]]).length;
    return [p.colour, p.name, whole(p.cases.length), wrong ? whole(wrong) : "0", level(rho, 0.5), level(rho, 0.99), short(p.t.rho),
      level(ulp, 0.5), level(ulp, 0.99), short(p.t.ulp), time(p.t.ms)];
  });
  for (const f of functions.filter(f => f.device === "torch")) {
    const levels = f.levels.map(real);
    rows.push([4, `torch ${f.form} · ${f.dtype}`, `${short(f.count)} arguments`, "", "", "", "", short(levels[0]), short(levels[1]), short(real(f.most)), ""]);
  }
  const torch = rows.some(r => r[0] === 4) ? "" : node("p", { class: "note" },
    "torch's own error is not part of a results file: --accuracy with a calibration of torch shows it here, for unary functions.");
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
      node("td", { class: "m" }, D.worst[i] || (failed.has(i) ? failed.get(i)[1].split("\n")[0] : ""))))))));
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
