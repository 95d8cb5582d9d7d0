// Tables that sort by a click on a head and filter by words.
const FIRST_ROWS = 200; // more are drawn when they are asked for

/** Draws a table of {columns, numeric, rows, links} into an element. */
function drawTable(place, name, table) {
  if (!table.rows.length) return place.replaceChildren(el("p", { class: "none" }, "Nothing here."));
  const shown = { words: [], column: -1, down: false, all: false };
  const body = el("tbody");
  const count = el("output");
  const texts = table.rows.map((row) => row.join(" ").toLowerCase());

  function redraw() {
    let rows = table.rows.map((_, n) => n);
    rows = rows.filter((n) => shown.words.every((word) => texts[n].includes(word)));
    if (shown.column >= 0) rows.sort((a, b) => order(a, b));
    const drawn = shown.all ? rows : rows.slice(0, FIRST_ROWS);
    body.replaceChildren(...drawn.map((n) => tableRow(table, n)));
    count.textContent = rows.length < texts.length ? `${rows.length} of ${texts.length} rows` : `${rows.length} rows`;
    more.hidden = drawn.length === rows.length;
    more.textContent = `Show all ${rows.length.toLocaleString("en")} rows`;
  }
  function order(a, b) {
    const [one, other] = [table.rows[a][shown.column], table.rows[b][shown.column]];
    const empty = (value) => value === null || value === "";
    return ascending(one, other) * (shown.down && !empty(one) && !empty(other) ? -1 : 1);
  }
  const heads = table.columns.map((column, n) => {
    const sort = () => {
      shown.down = shown.column === n && !shown.down;
      shown.column = n;
      for (const other of heads) other.removeAttribute("aria-sort");
      heads[n].setAttribute("aria-sort", shown.down ? "descending" : "ascending");
      redraw();
    };
    const button = el("button", { type: "button", onclick: sort }, column.replaceAll("_", " "));
    return el("th", { scope: "col", class: table.numeric[n] ? "num" : null }, button);
  });
  const more = el("button", { type: "button", class: "plain", onclick: () => ((shown.all = true), redraw()) });
  const filter = el("input", {
    type: "search",
    placeholder: "words, all of them",
    oninput: (event) => {
      shown.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      redraw();
    },
  });
  const label = table.rows.length > 5 ? el("label", {}, "Filter ", filter) : null;
  const grid = el("table", { class: "rows" }, el("thead", {}, el("tr", {}, heads)), body);
  const scroll = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `table ${name}` }, grid);
  place.replaceChildren(el("div", { class: "tool" }, label, count), scroll, more);
  redraw();
}

function tableRow(table, n) {
  const floor = String(table.rows[n][0]).startsWith("floor: ") ? "floor" : null;
  const cells = table.rows[n].map((value, column) => {
    const text = value === null ? "" : typeof value === "number" ? readable(value) : String(value);
    const href = table.links[table.columns[column]]?.[n];
    const content = href ? el("a", { href }, text) : text.length > 60 && column ? cut(text) : text;
    const kind = typeof value === "number" ? "num" : text.length <= 24 ? "short" : null;
    return el(column ? "td" : "th", { scope: column ? null : "row", class: kind }, content);
  });
  return el("tr", { class: floor }, cells);
}

/** Cuts a long text to a line until it is clicked. */
function cut(text) {
  return el("details", { class: "more" }, el("summary", {}, text));
}
