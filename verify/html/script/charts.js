// Charts as SVG: colours come from the style sheet, so that both schemes have them.

const ULPS = [0, 0.25, 0.5, 1, 2, 4, 8, 16, 64, 1e3, 1e6, Infinity];
const ULP_NAMES = ["0", "¼", "½", "1", "2", "4", "8", "16", "64", "10³", "10⁶", "more"];
const RHOS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, Infinity];
const RHO_NAMES = ["0", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9", "1", "more"];

const narrow = matchMedia("(max-width: 44rem)");
const canvas = (width, height, label, ...children) =>
  drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" }, ...children);
const words = (x, y, text, anchor, kind) =>
  drawn("text", { x, y, "text-anchor": anchor || "middle", class: kind || "" }, text);
const stroke = (x1, y1, x2, y2, kind) => drawn("line", { x1, y1, x2, y2, class: kind });

function median(sorted, q) { return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN; }

// How many values lie in (edge before, edge]; the last name is of all above.
function binned(values, edges) {
  const counts = new Array(edges.length).fill(0);
  for (const v of values) {
    const at = edges.findIndex(e => v <= e);
    counts[at < 0 ? edges.length - 1 : at]++;
  }
  return counts;
}

// One histogram under the other, over the same axis: devices side by side.
function histograms(series, edges, names, unit, tooMuch) {
  const width = narrow.matches ? 360 : 460, height = 58, left = 4, step = (width - 2 * left) / edges.length;
  const shown = series.filter(s => s.values.length);
  if (!shown.length) return node("p", { class: "note" }, `No case has a ${unit}.`);
  return node("div", { class: "stack" }, shown.map((s, k) => {
    const counts = binned(s.values, edges), most = Math.max(...counts);
    const sorted = Float64Array.from(s.values).sort();
    const last = k === shown.length - 1;
    const facts = `half ≤ ${short(median(sorted, 0.5))}, 99 % ≤ ${short(median(sorted, 0.99))}, worst ${short(sorted.at(-1))}`;
    const label = `${s.name}: ${unit} of ${whole(s.values.length)} cases, ${facts}. `
      + counts.map((n, i) => n ? `up to ${names[i]}: ${n}` : "").filter(Boolean).join(", ");
    return node("figure", {}, node("figcaption", {}, node("span", { class: `key d${s.colour}` }), node("b", {}, s.name),
      node("span", { class: "dim" }, `${whole(s.values.length)} cases · ${facts}`)),
    canvas(width, height + (last ? 16 : 0), label,
      stroke(left, height - 0.5, width - left, height - 0.5, "axis"),
      counts.map((n, i) => {
        const tall = n ? Math.max(2, n / most * (height - 16)) : 0, x = left + i * step;
        return [n ? drawn("rect", { x: x + 2, width: step - 4, y: height - tall, height: tall, rx: 2,
          class: edges[i] > tooMuch && s.t ? "over" : `d${s.colour}` }) : null,
        n ? words(x + step / 2, height - tall - 3, whole(n), "middle", "small") : null];
      }).flat(),
      last ? names.map((name, i) => words(left + (i + 0.5) * step, height + 13, name)) : []));
  }));
}

const logs = v => Math.log10(v);

// Error over size, a dot a case; where there are too many, the worst of each size stay.
function scatter(points, unit, bound) {
  const width = narrow.matches ? 360 : 460, height = 220, left = 40, low = 28;
  const found = points.filter(p => p.x > 0 && Number.isFinite(p.y) && p.y >= 0);
  if (found.length < 2) return node("p", { class: "note" }, "Too few cases to draw.");
  const xs = [Math.min(...found.map(p => logs(p.x))), Math.max(...found.map(p => logs(p.x)), 1)];
  const positive = found.filter(p => p.y > 0).map(p => p.y);
  const logarithmic = !bound || Math.max(...positive, 1) > 10;
  const least = logarithmic ? Math.max(-3, Math.floor(logs(Math.min(...positive, 1)))) : 0;
  const most = logarithmic ? Math.ceil(logs(Math.max(...positive, 1))) : Math.max(1.05, ...positive);
  const X = v => left + 6 + (logs(v) - xs[0]) / (xs[1] - xs[0] || 1) * (width - left - 16);
  const Y = v => height - low - ((logarithmic ? Math.max(least, logs(v || 1e-99)) : v) - least) / (most - least || 1) * (height - low - 10);
  const ticks = logarithmic ? spaced(least, most, 5).map(e => [10 ** e, power(e)])
    : [0, 0.25, 0.5, 0.75, 1].map(v => [v, String(v)]);
  const across = spaced(Math.ceil(xs[0]), Math.floor(xs[1]), 6).map(e => [10 ** e, power(e)]);
  const kept = found.length > 1500 ? found.sort((a, b) => b.y - a.y).slice(0, 1500) : found;
  return node("figure", {}, canvas(width, height, `${unit} over the number of elements of the inputs, ${found.length} cases`,
    ticks.map(([v, name]) => [stroke(left, Y(v), width - 6, Y(v), "grid"), words(left - 5, Y(v) + 3.5, name, "end")]).flat(),
    across.map(([v, name]) => [stroke(X(v), height - low, X(v), height - low + 4, "axis"), words(X(v), height - low + 15, name)]).flat(),
    stroke(left, height - low, width - 6, height - low, "axis"),
    bound ? [stroke(left, Y(1), width - 6, Y(1), "limit"), words(width - 8, Y(1) - 4, "the bound", "end", "small")] : [],
    kept.map(p => drawn("circle", { cx: X(p.x).toFixed(1), cy: Y(p.y).toFixed(1), r: 2.6, class: `dot d${p.colour}` }, drawn("title", {}, p.name))),
    words(width - 6, height - 2, "elements of the inputs", "end", "small")));
}

function spaced(low, high, n) {
  const step = Math.max(1, Math.ceil((high - low) / n));
  const found = [];
  for (let e = low; e <= high; e += step) found.push(e);
  return found;
}
const power = e => e === 0 ? "1" : e === 1 ? "10" : e === 2 ? "100"
  : `10${String(e).replace(/./g, c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || "⁻")}`;

// Errors in ULP over all numbers: negative ones, zero, positive ones, a place for each binade.
// Around 1 binades are wider: there functions bend, and most of them end before the edges.
function overDomain(rows) {
  const width = narrow.matches ? 380 : 940, height = 250, left = 44, low = 30, wide = rows[0].dtype === "float64";
  const [from, to] = wide ? [-1074, 1023] : [-149, 127];
  const half = (width - left - 12) / 2, middle = left + half;
  const bent = e => Math.sign(e) * Math.sqrt(Math.abs(e));
  const X = (sign, e) => middle + sign * (4 + (bent(e) - bent(from)) / (bent(to) - bent(from)) * (half - 4));
  const most = Math.max(1, ...rows.map(r => real(r.most)).filter(Number.isFinite)) * 1.08;
  const Y = v => height - low - Math.min(v, most) / most * (height - low - 12);
  const marks = narrow.matches ? (wide ? [-300, 0, 300] : [-24, 0, 24]) : wide ? [-300, -60, 0, 60, 300, 1000] : [-60, -24, -8, 0, 8, 24, 60, 120];
  const steps = [0.25, 0.5, 1, 2, 5].find(s => most / s <= 6) || most / 5;
  const lines = rows.map(r => {
    const kind = `d${r.colour}`;
    if (r.domain.length) {
      return [-1, 1].map(sign => {
        const seen = r.domain.filter(([s]) => s === sign).sort((a, b) => a[1] - b[1]);
        const places = seen.map(([s, e, m]) => `${X(s, e).toFixed(1)},${Y(real(m)).toFixed(1)}`);
        return drawn("polyline", { points: places.join(" "), class: `line ${kind}` });
      });
    }
    return [r.worst, r.small].filter(([x, m]) => Number.isFinite(real(x)) && x !== 0 && real(m) > 0).map(([x, m]) => {
      const at = X(Math.sign(x), Math.floor(Math.log2(Math.abs(x))));
      return [stroke(at, Y(0), at, Y(real(m)), `line ${kind}`), drawn("circle", { cx: at, cy: Y(real(m)), r: 4, class: kind },
        drawn("title", {}, `${r.name}: ${short(real(m))} ULP at ${x}`))];
    }).flat();
  });
  return canvas(width, height, `Largest error in ULP over the domain: ${rows.map(r => `${r.name} ${short(real(r.most))}`).join(", ")}`,
    Array.from({ length: Math.floor(most / steps) + 1 }, (_, k) => k * steps).map(v =>
      [stroke(left, Y(v), width - 8, Y(v), "grid"), words(left - 6, Y(v) + 3.5, String(v), "end")]).flat(),
    [-1, 1].map(sign => marks.map(e => [stroke(X(sign, e), height - low, X(sign, e), height - low + 4, "axis"),
      words(X(sign, e), height - low + 16, `${sign < 0 ? "−" : ""}2${String(e).replace(/./g, c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || "⁻")}`)]).flat()).flat(),
    stroke(middle, 8, middle, height - low, "axis"), words(middle, height - low + 16, "0"),
    stroke(left, height - low, width - 8, height - low, "axis"), lines.flat(2),
    words(left, 9, "ULP", "start", "small"));
}

// Where calls lie under the lines that memory and arithmetic draw.
function roofline(points, bandwidths, peak) {
  const width = narrow.matches ? 360 : 460, height = 240, left = 44, low = 30;
  const slow = Math.min(...bandwidths), fast = Math.max(...bandwidths); // of memory, of the caches
  const xs = points.map(p => logs(p.x));
  const x0 = Math.floor(Math.min(...xs, logs(peak / fast) - 1)), x1 = Math.ceil(Math.max(...xs, logs(peak / slow) + 1));
  const y1 = Math.ceil(logs(peak)), y0 = Math.floor(Math.min(...points.map(p => logs(p.y))));
  const X = e => left + (e - x0) / (x1 - x0) * (width - left - 12), Y = e => height - low - (e - y0) / (y1 - y0) * (height - low - 12);
  const roof = bandwidth => {
    const start = Math.max(y0, x0 + logs(bandwidth));
    return drawn("polyline", { class: "limit", points: `${X(start - logs(bandwidth))},${Y(start)} ${X(logs(peak / bandwidth))},${Y(logs(peak))} ${X(x1)},${Y(logs(peak))}` });
  };
  return canvas(width, height, `Roofline: ${points.length} calls, operations a second over operations a byte`,
    spaced(x0, x1, 6).map(e => words(X(e), height - low + 15, power(e))), spaced(y0, y1, 6).map(e =>
      [stroke(left, Y(e), width - 8, Y(e), "grid"), words(left - 5, Y(e) + 3.5, power(e), "end")]).flat(),
    [...new Set([slow, fast])].map(roof),
    points.map(p => drawn("circle", { cx: X(logs(p.x)), cy: Y(logs(p.y)), r: 3.2, class: "dot d0" }, drawn("title", {}, p.name))),
    words(width - 8, height - 2, "operations a byte", "end", "small"), words(left, 9, "GFLOP/s", "start", "small"));
}
