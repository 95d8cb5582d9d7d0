// One dataset in charts: scores, cost against quality, learning curves and pictures side by side.

/** Fills the section with a choice of datasets, and the charts of the chosen one. */
function drawDataset(place) {
  const choices = data.boards.flatMap((board) => board.columns.map((column) => [board, column.dataset]));
  const charts = el("div");
  const names = choices.map(([board, dataset], n) => el("option", { value: n }, `${dataset}: ${board.task}, profile ${board.profile}`));
  const show = () => charts.replaceChildren(...datasetParts(...choices[select.value]));
  const select = el("select", { onchange: show }, names);
  if (!choices.length) return place.replaceChildren(el("p", { class: "none" }, "Nothing to draw yet."));
  place.replaceChildren(el("p", { class: "tool" }, el("label", {}, "Dataset ", select)), charts);
  show();
}

function datasetParts(board, dataset) {
  const cells = cellsOn(board, dataset).sort((a, b) => ascending(a.views.score.order, b.views.score.order));
  const curves = (metric) => cells.map((cell) => ({ name: cell.variant, points: meanCurve(cell, metric(cell)) }));
  const percent = (drawn) => drawn.map((curve, n) => ({ ...curve, points: scaled(curve.points, cells[n].factor) }));
  const charts = [
    scoreChart(cells),
    costChart(cells),
    curveChart(`Validation ${cells.length ? metricName(cells[0]) : ""} by epoch, mean over seeds`, percent(curves((cell) => `validation/${cell.metric}`))),
    curveChart("Training loss by epoch, mean over seeds; each variant has its own loss", curves(() => "train/loss")),
  ].filter(Boolean);
  const nothing = charts.length ? "" : el("p", { class: "none" }, "Nothing to draw yet.");
  return [el("div", { class: "charts" }, charts), nothing, ...pictureParts(cells, (cell, picture) => `${cell.variant}: ${picture.kind}`)];
}

/** Averages a metric over the seeds that have an epoch, of the epochs that all seeds have. */
function meanCurve(cell, metric) {
  const own = cell.curves.filter((curve) => curve.metric === metric);
  const values = new Map();
  for (const [epoch, value] of own.flatMap((curve) => curve.points)) values.set(epoch, [...(values.get(epoch) ?? []), value]);
  const complete = [...values].filter(([, found]) => found.length === own.length);
  return complete.map(([epoch, found]) => [epoch, found.reduce((a, b) => a + b) / found.length]);
}
