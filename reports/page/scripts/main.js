// Joins the parts: controls and address, matrix, drawer, and sections that are drawn when opened.
const controls = document.getElementById("controls");

/** Fills a choice of the controls, or hides it where there is nothing to choose. */
function fill(name, values) {
  const select = controls.elements[name];
  if (values.length < 2) return (select.closest("label").hidden = true);
  select.append(...values.map((value) => el("option", { value }, value)));
}
fill("task", [...new Set(data.boards.map((board) => board.task))]);
fill("profile", [...new Set(data.boards.map((board) => board.profile))]);
fill("dataset", DATASETS);

controls.addEventListener("input", () => {
  const { view, task, profile, dataset, variant } = Object.fromEntries(new FormData(controls));
  changeAddress({ view, task: task ?? "", profile: profile ?? "", dataset: dataset ?? "", variant });
});
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("reset", () => changeAddress({ ...DEFAULTS }));

let drawn = "";
function follow() {
  const shown = readAddress();
  if (!(shown.view in VIEW_NAMES)) shown.view = DEFAULTS.view;
  for (const name of ["view", "task", "profile", "dataset", "variant"]) {
    const control = controls.elements[name];
    if (control.value !== shown[name]) control.value = shown[name];
  }
  const { cell, ...rest } = shown;
  if (JSON.stringify(rest) !== drawn) drawMatrix(shown);
  drawn = JSON.stringify(rest);
  hideSeeds();
  showDrawer(cell);
  reveal(location.hash.slice(1));
}
const VIEW_NAMES = Object.fromEntries([...controls.elements.view].map((one) => [one.value, true]));

/** Opens the section that a link such as #floors leads to. */
function reveal(id) {
  const place = /^[\w.-]+$/.test(id) && document.getElementById(id);
  const section = place && place.closest("details.section");
  if (!section) return;
  section.open = true;
  place.scrollIntoView({ block: place === section ? "start" : "center" });
}

for (const section of document.querySelectorAll("details.section")) {
  section.addEventListener("toggle", () => {
    if (!section.open || section.dataset.drawn) return;
    section.dataset.drawn = "yes";
    for (const place of section.querySelectorAll("[data-table]")) drawTable(place, place.dataset.table, data.tables[place.dataset.table]);
    for (const place of section.querySelectorAll("[data-charts]")) drawDataset(place);
  });
}
if (!data.boards.length) document.getElementById("runs").open = true;
addEventListener("hashchange", follow);
addEventListener("popstate", follow);
follow();
