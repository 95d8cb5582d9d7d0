// The matrix: all tasks, a row per variant, a column per dataset, in one of several views.
const SIGNS = { "may be best": "∗", "too few seeds": "∘", "not above floors": "†", floor: "†" };
const COST_VIEWS = ["seconds", "parameters"];
const matrix = document.getElementById("matrix-table");
const DATASETS = [...new Set(data.boards.flatMap((board) => board.columns.map((column) => column.dataset)))];

/** Draws the matrix as the address says. */
function drawMatrix(shown) {
  const datasets = DATASETS.filter((name) => !shown.dataset || name === shown.dataset);
  const words = shown.variant.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const named = (row) => !words.length || words.some((word) => matches(row.variant.toLowerCase(), word));
  const parts = data.boards
    .filter((board) => (!shown.task || board.task === shown.task) && (!shown.profile || board.profile === shown.profile))
    .map((board) => [board, sorted(board, shown).filter(named)])
    .filter(([, rows]) => rows.length);
  for (const part of document.querySelectorAll("[data-views]")) part.hidden = !part.dataset.views.split(" ").includes(shown.view);
  const kept = datasets.filter((name) => parts.some(([board]) => board.columns.some((c) => c.dataset === name)));
  const body = parts.map(([board, rows]) => boardPart(board, rows, kept, shown));
  const nothing = el("tbody", {}, el("tr", {}, el("td", { class: "none" }, "Nothing fits the filters.")));
  matrix.className = `${shown.view}-view`;
  matrix.replaceChildren(headPart(kept, shown), ...(body.length ? body : [nothing]));
  matrix.querySelector("td button")?.setAttribute("tabindex", "0");
}

/** Says whether a name contains a word, or fits a pattern such as caps*. */
function matches(name, word) {
  if (!word.includes("*")) return name.includes(word);
  const parts = word.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
}

/** Sorts a board's rows by a dataset in this view; by mean place without one. */
function sorted(board, shown) {
  if (!shown.sort) return board.rows;
  const order = (row) => data.cells[row.cells[shown.sort]]?.views[shown.view]?.order ?? null;
  return [...board.rows].sort((a, b) => ascending(order(a), order(b)));
}

function headPart(datasets, shown) {
  const heads = datasets.map((dataset) => {
    const sort = () => changeAddress({ sort: shown.sort === dataset ? "" : dataset });
    const name = el("button", { type: "button", "data-sort": dataset }, breakable(dataset));
    const order = shown.sort === dataset ? "ascending" : null;
    return el("th", { scope: "col", class: "sortable", "aria-sort": order, onclick: sort }, name);
  });
  const skill = el("th", { scope: "col", class: "skill" }, "skill");
  return el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "variant"), heads, skill));
}

function boardPart(board, rows, datasets, shown) {
  const column = (dataset) => board.columns.find((one) => one.dataset === dataset);
  const profiles = new Set(data.boards.map((one) => one.profile)).size;
  const name = profiles > 1 ? `${board.task}, profile ${board.profile}` : board.task;
  const heads = datasets.map((dataset) => {
    const found = column(dataset);
    const tested = COST_VIEWS.includes(shown.view) ? "" : el("small", {}, found?.tested ?? "");
    return el("td", {}, found ? [el("b", {}, breakable(found.heads[shown.view])), tested] : "");
  });
  const apart = (words, key, kind) =>
    el("tr", { class: `apart ${kind}` }, el("th", { scope: "row" }, words), datasets.map((d) => apartCell(column(d)?.[key])), el("td", { class: "skill" }));
  return el(
    "tbody",
    { "data-task": board.task },
    el("tr", { class: "board" }, el("th", { scope: "rowgroup" }, breakable(name), COST_VIEWS.includes(shown.view) ? "" : el("small", {}, "test samples")), heads, el("td", { class: "skill" })),
    rows.map((row) => rowPart(row, datasets, shown)),
    shown.view === "score" ? apart("best trivial answer", "floor", "floor") : "",
    shown.view === "score" || shown.view === "published" ? apart("best published", "published", "published") : "",
  );
}

function apartCell(entry) {
  return el("td", {}, entry ? [el("span", {}, entry.text), " ", el("small", {}, entry.small)] : "");
}

function rowPart(row, datasets, shown) {
  const place = row.place === null ? "" : el("small", {}, `mean place ${Number(row.place.toFixed(1))}`);
  const skill = el("td", { class: "skill" }, row.skill, " ", el("small", {}, row.skill_interval));
  const cells = datasets.map((dataset) => cellPart(data.cells[row.cells[dataset]], shown));
  return el("tr", { "data-variant": row.variant }, el("th", { scope: "row" }, variantName(row.variant), place), cells, skill);
}

/** Links a variant's name to its line in the glossary, if it has one. */
function variantName(variant) {
  const id = `about-${variant}`;
  const show = (event) => (event.preventDefault(), reveal(id));
  return document.getElementById(id) ? el("a", { href: `#${id}`, onclick: show }, breakable(variant)) : breakable(variant);
}

function cellPart(cell, shown) {
  if (!cell) return el("td", { class: "none" }, "–");
  const entry = cell.views[shown.view] ?? cell.views.score;
  const button = el("button", { type: "button", tabindex: -1, "data-cell": cell.study, "aria-haspopup": "dialog" }, entry.text);
  const marked = shown.view === "score" || shown.view === "behind";
  const sign = marked ? el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[cell.mark] ?? "") : "";
  const mark = marked && cell.mark ? el("small", { class: "mark" }, cell.mark_text) : "";
  const shade = entry.shade === null ? null : `${Math.round(100 * entry.shade)}%`;
  return el(
    "td",
    { class: marked ? cell.mark.replaceAll(" ", "-") || null : null, "--shade": shade },
    button, sign, " ", el("small", { class: "aside" }, entry.small), mark, el("small", { class: "note" }, cell.note),
  );
}

const cellAt = (event) => {
  const place = event.target.closest?.("td:has(button[data-cell])");
  return place && [place, data.cells[place.querySelector("button").dataset.cell]];
};
matrix.addEventListener("click", (event) => {
  const found = cellAt(event);
  if (found) changeAddress({ cell: found[1].study });
});
for (const kind of ["pointerover", "focusin"]) {
  matrix.addEventListener(kind, (event) => (cellAt(event) ? showSeeds(...cellAt(event)) : hideSeeds()));
}
for (const kind of ["pointerleave", "focusout"]) matrix.addEventListener(kind, hideSeeds);

// Arrow keys move between cells; a single one of them is a stop of the tab key.
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
matrix.addEventListener("keydown", (event) => {
  const from = event.target.closest("td button");
  if (!from || !STEPS[event.key]) return;
  event.preventDefault();
  const rows = [...matrix.querySelectorAll("tr:has(td button)")];
  let [y, x] = [rows.indexOf(from.closest("tr")), from.closest("td").cellIndex];
  const [down, right] = STEPS[event.key];
  for (y += down, x += right; rows[y]?.cells[x]; y += down, x += right) {
    const next = rows[y].cells[x].querySelector("button");
    if (!next) continue;
    from.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    return next.focus();
  }
});
