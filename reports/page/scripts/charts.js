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

/** Draws curves [{name, points: [[epoch, value]]}]; those of a single epoch are left out. */
function curveChart(label, curves) {
  const long = curves.filter((curve) => curve.points.length > 1);
  if (!long.length) return null;
  const points = long.flatMap(({ name, group = name, points: own }) =>
    own.map(([epoch, value]) => ({ epoch, value, name, group })),
  );
  const values = points.map(({ value }) => value).filter((value) => value > 0);
  const wide = values.length === points.length && Math.max(...values) > 20 * Math.min(...values);
  return chart(label, {
    height: 230,
    marginBottom: 42,
    x: { label: "epoch", ticks: wholeTicks(points.map((point) => point.epoch)), tickFormat: "d" },
    y: { label: null, grid: true, type: wide ? "log" : "linear" },
    color: { legend: true },
    marks: [Plot.line(points, { x: "epoch", y: "value", z: "name", stroke: "group", tip: true, title: describe })],
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
  const unit = shown[0].factor === 100 ? ", %" : "";
  const scaled = (value) => value * shown[0].factor;
  const seeds = shown.flatMap((cell) => cell.seeds.map(([, value]) => ({ variant: cell.variant, value: scaled(value) })));
  const known = shown.filter((cell) => cell.interval);
  return chart(`Test ${shown[0].metric}${unit}: dot: mean, line: 95 % interval, ticks: seeds`, {
    height: 50 + 24 * shown.length,
    marginLeft: 130,
    insetLeft: 8,
    x: { label: null, grid: true },
    y: { label: null, domain: shown.map((cell) => cell.variant) },
    marks: [
      Plot.ruleY(known, { y: "variant", x1: (c) => scaled(c.interval[0]), x2: (c) => scaled(c.interval[1]), strokeWidth: 2, stroke: "var(--accent)" }),
      Plot.tickX(seeds, { x: "value", y: "variant", inset: 7, strokeOpacity: 0.6 }),
      Plot.dot(shown, { x: (c) => scaled(c.mean), y: "variant", r: 4, fill: "var(--accent)", tip: true, title: (c) => `${c.variant}: ${c.views.score.text} (${c.views.score.small})` }),
    ],
  });
}

/** Draws cost against quality; a line joins the variants than which none is cheaper and better. */
function costChart(cells) {
  const shown = cells.filter((cell) => cell.mean !== null && cell.seconds > 0);
  if (shown.length < 2) return null;
  const sorted = [...shown].sort((a, b) => a.seconds - b.seconds || a.views.score.order - b.views.score.order);
  let best = Infinity;
  const front = sorted.filter((cell) => cell.views.score.order < best && ((best = cell.views.score.order), true));
  const at = { x: "seconds", y: (cell) => cell.mean * cell.factor };
  return chart(`Test ${shown[0].metric} against seconds of a run; joined: none is both cheaper and better`, {
    height: 300,
    marginRight: 90,
    marginBottom: 42,
    inset: 12,
    x: { type: "log", label: "seconds of a run, mean over seeds", ticks: 5, tickFormat: "~s", grid: true },
    y: { label: null, grid: true },
    marks: [
      Plot.line(front, { ...at, strokeOpacity: 0.5 }),
      Plot.dot(shown, { ...at, r: 4, fill: "var(--accent)", tip: true, title: (c) => `${c.variant}: ${c.views.score.text} in ${c.views.seconds.text}` }),
      Plot.text(shown, { ...at, text: "variant", textAnchor: "start", dx: 7 }),
    ],
  });
}

/** Draws the trials of a cell by number, and the best value so far. */
function trialChart(cell) {
  const rows = cell.trials.rows.map(([number, state, value]) => ({ number, state, value }));
  const known = rows.filter(({ value }) => value !== null);
  if (known.length < 3) return null;
  const high = (boardOf(cell)?.columns.find((c) => c.dataset === cell.dataset)?.metric ?? "").endsWith("↑");
  let best = null;
  const line = known.map(({ number, state, value }) => {
    if (state === "complete" && (best === null || (high ? value > best : value < best))) best = value;
    return { number, best };
  });
  return chart(`Validation ${cell.metric} of each trial; line: the best so far`, {
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
