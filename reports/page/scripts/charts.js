// Charts by Observable Plot, as SVG in the page's colours.

/** Draws a chart with a name for those who cannot see it. */
function chart(label, options) {
  const drawn = Plot.plot({ marginLeft: 50, ...options, style: { background: "transparent", color: "inherit", fontSize: "12px" } });
  const image = drawn.tagName === "svg" ? drawn : drawn.querySelector("svg:last-of-type");
  image.setAttribute("role", "img");
  image.setAttribute("aria-label", label);
  // The name of the whole is enough, and names of parts without a role are an error of accessibility.
  for (const part of drawn.querySelectorAll("g[aria-label]")) part.removeAttribute("aria-label");
  return el("figure", { class: "chart" }, el("figcaption", {}, label), drawn);
}

/** Draws curves [{name, points: [[epoch, value]]}]; the label names those of a single epoch, which have no line. */
function curveChart(label, curves) {
  const long = curves.filter((curve) => curve.points.length > 1);
  if (!long.length) return null;
  const single = curves.filter((curve) => curve.points.length === 1).map(({ name }) => name);
  if (single.length) label += `. Without a line, as they have one epoch: ${single.join(", ")}`;
  const points = long.flatMap(({ name, points: own }) => own.map(([epoch, value]) => ({ epoch, value, name })));
  const values = points.map(({ value }) => value).filter((value) => value > 0);
  const wide = values.length === points.length && Math.max(...values) > 20 * Math.min(...values);
  return chart(label, {
    height: 230,
    marginBottom: 42,
    x: { label: "epoch", ticks: wholeTicks(points.map((point) => point.epoch)), tickFormat: "d" },
    y: { label: null, grid: true, type: wide ? "log" : "linear" },
    color: { legend: true },
    marks: [Plot.line(points, { x: "epoch", y: "value", z: "name", stroke: "name", tip: true, title: describe })],
  });
}

/** Chooses at most nine whole numbers, evenly spaced, for the ticks of an axis. */
function wholeTicks(numbers) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const step = Math.max(1, Math.ceil((high - low) / 8));
  return d3.range(low, high + 1, step);
}

const describe = (point) => `${point.name}, epoch ${point.epoch}: ${readable(point.value)}`;

/** Draws the mean, interval and seeds of cells of one dataset, in their order. */
function scoreChart(cells) {
  const shown = cells.filter((cell) => cell.mean !== null);
  if (!shown.length) return null;
  const at = (value) => value * shown[0].factor;
  const seeds = shown.flatMap((cell) => cell.seeds.map(([, value]) => ({ variant: cell.variant, value: at(value) })));
  const known = shown.filter((cell) => cell.interval);
  return chart(`Test ${metricName(shown[0])}: dot: mean, line: 95 % interval, ticks: seeds`, {
    height: 50 + 24 * shown.length,
    marginLeft: 130,
    insetLeft: 8,
    x: { label: null, grid: true },
    y: { label: null, domain: shown.map((cell) => cell.variant) },
    marks: [
      Plot.ruleY(known, { y: "variant", x1: (c) => at(c.interval[0]), x2: (c) => at(c.interval[1]), strokeWidth: 2, stroke: "var(--accent)" }),
      Plot.tickX(seeds, { x: "value", y: "variant", inset: 7, strokeOpacity: 0.6 }),
      Plot.dot(shown, { x: (c) => at(c.mean), y: "variant", r: 4, fill: "var(--accent)", tip: true, title: (c) => `${c.variant}: ${c.views.score.text} (${c.views.score.small})` }),
    ],
  });
}

/** Draws cost against quality; a line joins the variants above their floors that no other beats in both. */
function costChart(cells) {
  const shown = cells.filter((cell) => cell.mean !== null && cell.seconds > 0);
  if (shown.length < 2) return null;
  const sorted = shown.filter((cell) => !isBelow(cell)).sort((a, b) => a.seconds - b.seconds || a.views.score.order - b.views.score.order);
  let best = Infinity;
  const front = sorted.filter((cell) => cell.views.score.order < best && ((best = cell.views.score.order), true));
  const at = { x: "seconds", y: (cell) => cell.mean * cell.factor };
  const shifts = labelShifts(shown.map((cell) => cell.mean * cell.factor), 220);
  return chart(`Test ${metricName(shown[0])} against seconds of a run. Joined: no other is both cheaper and better. Hollow: not above its floors`, {
    height: 300,
    marginRight: 120,
    marginBottom: 42,
    inset: 12,
    x: { type: "log", label: "seconds of a run, mean over seeds", ticks: 5, tickFormat: "~s", grid: true },
    y: { label: null, grid: true },
    marks: [
      Plot.line(front, { ...at, strokeOpacity: 0.5 }),
      Plot.dot(shown, { ...at, r: 4, stroke: "var(--accent)", fill: (c) => (isBelow(c) ? "var(--paper)" : "var(--accent)"), tip: true, title: (c) => `${c.variant}: ${c.views.score.text} in ${c.views.seconds.text}` }),
      ...shown.map((cell, n) => Plot.text([cell], { ...at, text: "variant", textAnchor: "start", dx: 7, dy: shifts[n] })),
    ],
  });
}

/** Returns for each value by how many pixels its label moves, so that no two are closer than a line. */
function labelShifts(values, height) {
  const [low, high] = d3.extent(values);
  const heightOf = (value) => (high > low ? ((high - value) / (high - low)) * height : height / 2);
  const order = d3.sort(d3.range(values.length), (n) => heightOf(values[n]));
  const places = [];
  for (const n of order) places.push(Math.max(heightOf(values[n]), (places.at(-1) ?? -Infinity) + 13));
  // What went below the last line moves up again.
  for (let k = places.length - 1, most = height + 6; k >= 0; most = places[k] - 13, k--) places[k] = Math.min(places[k], most);
  const shifts = [];
  order.forEach((n, k) => (shifts[n] = places[k] - heightOf(values[n])));
  return shifts;
}

/** Draws the trials of a cell by number, and the best value so far. */
function trialChart(cell) {
  const rows = cell.trials.rows.map(([number, state, value]) => ({ number, state, value: value === null ? null : value * cell.factor }));
  const known = rows.filter(({ value }) => value !== null);
  if (known.length < 3) return null;
  const high = metricName(cell).endsWith("↑");
  let best = null;
  const line = known.map(({ number, state, value }) => {
    if (state === "complete" && (best === null || (high ? value > best : value < best))) best = value;
    return { number, best };
  });
  return chart(`Validation ${metricName(cell)} of each trial; line: the best so far`, {
    height: 220,
    x: { label: "trial", ticks: wholeTicks(known.map((trial) => trial.number)), tickFormat: "d" },
    y: { label: null, grid: true },
    color: { legend: true },
    marks: [
      Plot.line(line.filter((point) => point.best !== null), { x: "number", y: "best", curve: "step-after", strokeOpacity: 0.6 }),
      Plot.dot(known, { x: "number", y: "value", fill: "state", tip: true, title: (t) => `trial ${t.number}, ${t.state}: ${readable(t.value)}` }),
    ],
  });
}
