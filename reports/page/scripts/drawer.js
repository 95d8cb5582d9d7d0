// The drawer of a cell: facts, the command that repeats each run, curves, trials, pictures.
const drawer = document.getElementById("drawer");
drawer.addEventListener("close", () => changeAddress({ cell: "" }));
drawer.addEventListener("click", (event) => event.target === drawer && drawer.close());

/** Opens the drawer of a study, or closes the drawer if there is no such study. */
function showDrawer(study) {
  const cell = Object.hasOwn(data.cells, study) ? data.cells[study] : null;
  if (!cell) return drawer.open && drawer.close();
  if (drawer.open && drawer.dataset.study === study) return;
  drawer.dataset.study = study;
  drawer.replaceChildren(el("div", {}, drawerParts(cell)));
  if (!drawer.open) drawer.showModal();
  drawer.scrollTop = 0;
}

function drawerParts(cell) {
  return [
    el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => drawer.close() }, "×"),
    el("h2", { id: "drawer-name" }, `${cell.variant} on ${cell.dataset}`, el("small", {}, ` ${cell.task}, profile ${cell.profile}`)),
    pairs(cell.facts),
    ...runParts(cell),
    ...curveParts(cell),
    ...trialParts(cell),
    ...pictureParts([cell], (_, picture) => picture.kind),
    ...(cell.settings.length ? [el("h3", {}, "Hyper-parameters of the finals"), pairs(cell.settings)] : []),
    ...(cell.metrics.length ? [el("h3", {}, "All test metrics"), pairs(cell.metrics)] : []),
  ];
}

function pairs(list) {
  return el("dl", {}, list.map(([name, text]) => el("div", {}, el("dt", {}, `${name}:`), " ", el("dd", {}, text))));
}

function runParts(cell) {
  if (!cell.runs.length) return [el("p", { class: "none" }, "No run has finished yet.")];
  const [first, ...others] = cell.runs.map(runPart);
  const rest = others.length ? el("details", {}, el("summary", {}, `The other runs with a command: ${others.length}`), others) : "";
  const where = `In the folder that contains ${data.folder}. Finals differ in their seeds alone. The scores are equal to the last bit with the same code, libraries and kind of processor; the command says what differs.`;
  return [el("h3", {}, "Repeat a run"), el("p", {}, where), first, rest];
}

function runPart(run) {
  const links = run.links.flatMap(([name, href]) => [" · ", el("a", { href, "aria-label": `${name} of ${run.id}` }, name)]);
  const copied = el("output");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(run.command);
      copied.textContent = " copied";
    } catch {
      copied.textContent = " select it and copy";
    }
  };
  return el(
    "div",
    { class: "run" },
    el("p", {}, el("b", {}, run.role), `, seed ${run.seed}: ${run.text}`, links),
    el("pre", { tabindex: 0 }, el("code", {}, run.command)),
    el("button", { type: "button", class: "plain", onclick: copy, "aria-label": `Copy the command of ${run.id}` }, "Copy"),
    copied,
  );
}

function curveParts(cell) {
  const primary = `validation/${cell.metric}`;
  const finals = cell.runs.filter((run) => run.role.startsWith("final "));
  const place = (seed) => finals.findIndex((run) => run.seed === seed) + 1;
  const scores = cell.curves.filter((curve) => curve.metric === primary).map((curve) => ({ name: `final ${place(curve.seed)}`, points: scaled(curve.points, cell.factor) }));
  const losses = ["train/loss", "validation/loss"].map((name) => ({ name, points: meanCurve(cell, name) }));
  const charts = [
    curveChart(`Validation ${metricName(cell)} by epoch`, scores),
    curveChart("Losses by epoch, mean over finals", losses),
  ].filter(Boolean);
  return charts.length ? [el("h3", {}, "Learning curves of the finals"), el("div", { class: "charts" }, charts)] : [];
}

function trialParts(cell) {
  const { parameters, rows } = cell.trials;
  if (!rows.length) return [];
  const columns = ["number", "state", `validation ${metricName(cell)}`, "epochs", ...parameters];
  const numeric = columns.map((_, n) => rows.some((row) => typeof row[n] === "number"));
  const shown = rows.map(([number, state, value, ...rest]) => [number, state, value === null ? null : value * cell.factor, ...rest]);
  const place = el("div");
  drawTable(place, `trials of ${cell.variant} on ${cell.dataset}`, { columns, numeric, rows: shown, links: {} });
  return [el("h3", {}, "Trials"), trialChart(cell) ?? "", place];
}

/** Shows the pictures of cells; a click opens the whole picture. */
function pictureParts(cells, name) {
  const figures = cells.flatMap((cell) =>
    cell.pictures.map((picture) => {
      const label = `${picture.kind} of ${cell.variant} on ${cell.dataset}`;
      const image = el("img", { src: picture.src, alt: label, width: picture.width, height: picture.height, loading: "lazy" });
      return el("figure", {}, el("a", { href: picture.href }, image), el("figcaption", {}, name(cell, picture)));
    }),
  );
  return figures.length ? [el("h3", {}, "Pictures"), el("div", { class: "pictures" }, figures)] : [];
}
