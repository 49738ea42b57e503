// Coverage: op (by device and type) x judge or layout. No cell is blank: it has cases or a reason.

const options = { split: "no", columns: "judge", says: "cases" };
const J = D.judges.length, R = D.rows.length;
let letters, matrix;

function matrixOptions() {
  const set = key => value => { options[key] = value; drawMatrix(); };
  byId("matrix-options").replaceChildren(
    picked("Rows", [["no", "by op"], ["yes", "by op, device, type"]], options.split, set("split")),
    picked("Columns", [["judge", "judges"], ["layout", "layouts"]], options.columns, set("columns")),
    picked("Cells say", [["cases", "cases"], ["rho", "largest rho"], ["ulp", "largest ULP"]],
      options.says, set("says")));
}

function drawMatrix() {
  const deepest = Boolean(state.op && state.judge);  // what is left to tell apart are layouts
  const byLayout = deepest || options.columns === "layout";
  const split = options.split === "yes" || Boolean(state.op);
  const names = byLayout ? D.layouts : D.judges;
  const columns = names.map((_, i) => i).filter(i => {
    const wanted = byLayout ? state.layout : state.judge;
    return !wanted || names[i] === wanted;
  });
  const rows = D.rows.map((_, i) => i).filter(i =>
    (!state.device || D.devices[D.rows[i][0]] === state.device)
    && (!state.dtype || D.dtypes[D.rows[i][1]] === state.dtype));
  const cells = new Map();
  const key = (op, row, column) => (op * (R + 1) + (split ? row : R)) * 64 + column;
  const seen = new Set();
  for (const i of chosen.hits) {
    const g = GROUPS[groupOf[i]];
    const k = key(g.op, g.row, byLayout ? C.layout[i] : g.judge);
    let t = cells.get(k);
    if (!t) cells.set(k, t = tally([]));
    add(t, i);
    seen.add(g.op);
  }
  const open = !state.q && !state.status && !state.layout;
  const ops = D.ops.map((_, i) => i).filter(i =>
    chosen.unknown.length ? false : state.op ? D.ops[i] === state.op : open || seen.has(i));
  const [bySplit, byColumns] = byId("matrix-options").querySelectorAll("select");
  [bySplit.disabled, byColumns.disabled] = [Boolean(state.op), deepest];
  [bySplit.value, byColumns.value] = [split ? "yes" : "no", byLayout ? "layout" : "judge"];
  letters = new Map();
  byId("reasons").replaceChildren();
  const items = ops.flatMap(op => split ? rows.map((row, k) => ({ op, row, first: k === 0 }))
    : [{ op, row: R, first: true }]);
  const lines = ({ op, row, first }) => node("tr", { class: first && split ? "first" : "" },
    node("th", { scope: "row" },
      state.op ? "" : button(D.ops[op], () => open_({ op: D.ops[op] }), { class: "link", tabindex: -1 }),
      split ? node("span", { class: state.op ? "" : "sub" },
        `${D.devices[D.rows[row][0]]} · ${D.dtypes[D.rows[row][1]]}`) : ""),
    columns.map(c => node("td", {},
      cell(cells.get(key(op, row, c)), op, row < R ? [row] : rows, c, byLayout, row < R))));
  const head = node("tr", {}, node("th", { scope: "col" }, state.op ? "device · type" : "op"),
    columns.map(c => node("th", { scope: "col" }, names[c])));
  const body = node("tbody");
  const table = node("table", { class: "matrix", onkeydown: moved },
    node("caption", { class: "sr" }, `Cases by op and ${byLayout ? "layout" : "judge"}`), node("thead", {}, head), body);
  const box = byId("matrix-box");
  box.replaceChildren(ops.length ? table : node("p", { class: "note" }, "No case fits the filter."));
  matrix = asSeen(box, body, items, lines, 40);
  matrix.near();
  const firstCell = body.querySelector("td button");
  if (firstCell) firstCell.tabIndex = 0;
}

function cell(t, op, rows, column, byLayout, single) {
  const where = { op: D.ops[op], [byLayout ? "layout" : "judge"]: (byLayout ? D.layouts : D.judges)[column] };
  if (single) {
    const [device, dtype] = D.rows[rows[0]];
    Object.assign(where, { device: D.devices[device], dtype: D.dtypes[dtype] });
  }
  const label = Object.values(where).join(", ");
  const click = () => open_(where, "cases");
  if (!t) {
    const why = whyNone(op, rows, column, byLayout);
    return button(state.op ? why : letter(why), click,
      { class: "cell none", tabindex: -1, title: why, "aria-label": `${label}: no case, ${why}` });
  }
  const tone = toneOf(t), counts = told(t);
  const wrong = counts.filter(([s]) => WRONG.includes(s)).reduce((sum, [, n]) => sum + n, 0);
  const mark = tone === "wrong" ? "✕ " : tone === "weak" ? "! " : "";
  const says = options.says === "cases" ? (wrong ? `${wrong}/${t.n}` : whole(t.n))
    : short(t[options.says]) || "exact";
  const full = `${label}: ${counts.map(([s, n]) => `${whole(n)} ${s}`).join(", ")}`
    + (t.rho >= 0 ? `; largest rho ${short(t.rho)}` : "") + (t.ulp >= 0 ? `; ${short(t.ulp)} ULP` : "");
  return button(mark + says, click, { class: `cell ${tone}`, tabindex: -1, title: full, "aria-label": full });
}

// Of the groups of a cell that have no case; of a layout, of those that have some in others first.
function whyNone(op, rows, column, byLayout) {
  const why = new Set(), groups = new Set();
  const judges = byLayout ? D.judges.map((_, j) => j).filter(j => !state.judge || D.judges[j] === state.judge)
    : [column];
  for (const row of rows) for (const judge of judges) {
    const none = D.empty[(op * R + row) * J + judge];
    if (none >= 0) (byLayout ? groups : why).add(D.reasons[none]);
    else if (!byLayout) why.add("no case fits the filter");
    else {
      const g = GROUPS.find(x => x.op === op && x.row === row && x.judge === judge);
      why.add((g && D.lacking[g.lacking][column]) || "no case fits the filter");
    }
  }
  return [...(why.size ? why : groups)].join("; ");
}

function letter(why) {
  if (!letters.has(why)) {
    const n = letters.size;
    const name = (n >= 26 ? String.fromCharCode(96 + Math.floor(n / 26)) : "") + String.fromCharCode(97 + n % 26);
    letters.set(why, name);
    byId("reasons").append(node("div", {}, node("dt", {}, name), node("dd", {}, why)));
  }
  return letters.get(why);
}

// One cell is in the order of Tab; arrows move among them.
function moved(event) {
  const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
    Home: [0, -99], End: [0, 99] }[event.key];
  const from = event.target.closest("td, th");
  if (!by || !from) return;
  event.preventDefault();
  matrix.near();
  const line = from.parentElement, at = [...line.children].indexOf(from);
  const next = by[0] > 0 ? line.nextElementSibling : by[0] < 0 ? line.previousElementSibling : line;
  if (!next) return;
  const first = by[1] === -1 || at === 0 && !by[1] ? 0 : 1;  // the op's own name is left of its cells
  const found = next.children[Math.min(Math.max(at + by[1], first), next.children.length - 1)].querySelector("button");
  if (!found) return;
  for (const b of line.closest("table").querySelectorAll("button[tabindex='0']")) b.tabIndex = -1;
  found.tabIndex = 0;
  found.focus();
}
