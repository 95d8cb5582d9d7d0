"use strict";
// Tables are plain HTML, whole without this; here they learn to sort and to filter.
const value = (row, column) => {
  const cell = row.cells[column];
  const number = "v" in cell.dataset ? Number(cell.dataset.v) : NaN;
  return { number, text: cell.textContent.trim() };
};
const compare = (a, b) => {
  if (!isNaN(a.number) && !isNaN(b.number)) return a.number - b.number;
  return a.text.localeCompare(b.text, "en", { numeric: true });
};
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => ({ row, key: value(row, column) }));
      // What is empty or NaN stays last, whichever way.
      const empty = ({ key }) => key.text === "";
      keyed.sort((a, b) => empty(a) - empty(b) || (down ? -1 : 1) * compare(a.key, b.key));
      body.append(...keyed.map(({ row }) => row));
    });
  });
}
for (const input of document.querySelectorAll("input[data-for]")) {
  const rows = [...document.getElementById(input.dataset.for).tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const count = input.closest(".tool").querySelector("output");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows.filter((row, n) => !(row.hidden = !words.every((w) => texts[n].includes(w))));
    count.textContent = words.length ? `${shown.length} of ${rows.length} rows` : `${rows.length} rows`;
  });
}
const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const closed = target && target.closest("details:not([open])");
  if (closed) {
    closed.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", reveal);
reveal();
