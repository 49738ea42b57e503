// What the page shows follows from its address: #op=exp&judge=vjp&status=FAIL.

const KEYS = ["op", "judge", "device", "dtype", "layout", "status", "q"];
const LISTS = { op: D.ops, judge: D.judges, device: D.devices, dtype: D.dtypes, layout: D.layouts };
const nothing = Object.fromEntries(KEYS.map(k => [k, ""]));
let state = {};

const N = D.cases.status.length;
const C = {
  shapes: Int32Array.from(D.cases.shapes),
  layout: Uint8Array.from(D.cases.layout),
  region: Int32Array.from(D.cases.region),
  status: Uint8Array.from(D.cases.status),
  rho: Float64Array.from(D.cases.rho, real),
  ulp: Float64Array.from(D.cases.ulp, real),
  torchRho: Float64Array.from(D.cases.torch_rho, real),
  torchUlp: Float64Array.from(D.cases.torch_ulp, real),
  ms: Float64Array.from(D.cases.ms, real),
};
const GROUPS = [];
const groupOf = new Int32Array(N);
for (let i = 0; i < D.groups.length; i += 8) {
  const [op, judge, device, dtype, begin, count, lacking, prefix] = D.groups.slice(i, i + 8);
  const row = D.rows.findIndex(([d, t]) => d === device && t === dtype);
  groupOf.fill(GROUPS.length, begin, begin + count);
  GROUPS.push({ op, judge, device, dtype, begin, count, lacking, prefix, row });
}
const isWrong = Uint8Array.from(D.statuses, s => Number(WRONG.includes(s)));

function idOf(i) {
  const g = GROUPS[groupOf[i]];
  return [D.ops[g.op], D.judges[g.judge], D.devices[g.device], D.dtypes[g.dtype],
    D.shapes[C.shapes[i]], D.layouts[C.layout[i]], D.regions[C.region[i]]].join("/");
}

const replayOf = i => `needle-verify ${D.prefixes[GROUPS[groupOf[i]].prefix]}--replay ${quoted(idOf(i))}`;

function read() {
  const told = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  return Object.fromEntries(KEYS.map(k => [k, told.get(k) || ""]));
}

const addressed = s => {
  const told = new URLSearchParams(KEYS.filter(k => s[k]).map(k => [k, s[k]]));
  return told.size ? `#${told}` : location.pathname + location.search;
};

// Goes to another state: a step back returns to this one, typing makes no steps.
function go(changes, typing) {
  const next = { ...state, ...changes };
  if (KEYS.every(k => next[k] === state[k])) return;
  history.replaceState({ y: scrollY }, "");
  history[typing ? "replaceState" : "pushState"]({}, "", addressed(next));
  state = next;
  show();
}

const fits = (names, word) => Uint8Array.from(names, n => Number(n.toLowerCase().includes(word)));

// The cases that fit, with a mark at each.
function choose(s) {
  const want = {};
  for (const [key, names] of Object.entries(LISTS)) want[key] = s[key] ? names.indexOf(s[key]) : -1;
  const unknown = Object.keys(LISTS).filter(k => s[k] && want[k] < 0);
  const statuses = Uint8Array.from(D.statuses, (name, i) =>
    Number(!s.status || name === s.status || (s.status === "wrong" && isWrong[i])));
  const words = s.q.toLowerCase().split(/\s+/).filter(Boolean).map(word => ({
    word, whole: word.includes("/"), op: fits(D.ops, word), judge: fits(D.judges, word),
    device: fits(D.devices, word), dtype: fits(D.dtypes, word), shapes: fits(D.shapes, word),
    layout: fits(D.layouts, word), region: fits(D.regions, word),
  }));
  const marks = new Uint8Array(N), hits = new Int32Array(N);
  let n = 0;
  for (const g of unknown.length ? [] : GROUPS) {
    if ((want.op >= 0 && g.op !== want.op) || (want.judge >= 0 && g.judge !== want.judge)
        || (want.device >= 0 && g.device !== want.device)
        || (want.dtype >= 0 && g.dtype !== want.dtype)) continue;
    const left = words.filter(w => w.whole
      || !(w.op[g.op] || w.judge[g.judge] || w.device[g.device] || w.dtype[g.dtype]));
    for (let i = g.begin; i < g.begin + g.count; i++) {
      if (want.layout >= 0 && C.layout[i] !== want.layout) continue;
      if (!statuses[C.status[i]]) continue;
      if (!left.every(w => w.whole ? idOf(i).toLowerCase().includes(w.word)
        : w.shapes[C.shapes[i]] || w.layout[C.layout[i]] || w.region[C.region[i]])) continue;
      marks[i] = 1;
      hits[n++] = i;
    }
  }
  return { hits: hits.subarray(0, n), marks, unknown };
}

// Counts by status, the largest rho and ULP: what a cell, a row or an op says.
function tally(cases) {
  const t = { n: 0, counts: new Int32Array(D.statuses.length), rho: -1, ulp: -1, ms: 0 };
  for (const i of cases) add(t, i);
  return t;
}

function add(t, i) {
  t.n++;
  t.counts[C.status[i]]++;
  t.ms += Math.max(0, C.ms[i]);
  if (!(C.rho[i] <= t.rho)) t.rho = C.rho[i];
  if (!(C.ulp[i] <= t.ulp)) t.ulp = C.ulp[i];
}

const told = t => D.statuses.map((s, k) => [s, t.counts[k]]).filter(([, n]) => n);

function toneOf(t) {
  const by = Object.fromEntries(told(t));
  if (WRONG.some(s => by[s])) return "wrong";
  if (by.WEAK || (by.PASS && by.PASS < t.n)) return "weak";
  return by.PASS ? "pass" : "none";
}
