"use strict";
// Data and helpers of all scripts. Texts only ever become text nodes or attributes, never HTML.
const data = JSON.parse(document.getElementById("page-data").textContent);

/** Makes an element. Attributes that start with "on" are listeners; null and false leave one out. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== ""));
  return made;
}

/** Lets a long name break after an underscore, a hyphen or a dot. */
function breakable(name) {
  const parts = name.split(/(?<=[_.-])/);
  return parts.flatMap((part, place) => (place ? [el("wbr"), part] : [part]));
}

/** Writes a number with four digits; whole numbers have separators. */
function readable(number) {
  if (Number.isInteger(number)) return number.toLocaleString("en");
  const size = Math.abs(number);
  return size >= 1e-3 && size < 1e6 ? String(Number(number.toPrecision(4))) : number.toExponential(3);
}

/** Sorts ascending; null and NaN come last. */
function ascending(a, b) {
  const [missingA, missingB] = [a, b].map((v) => v === null || v === undefined || v === "" || Number.isNaN(v));
  if (missingA || missingB) return missingA - missingB;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Writes a cell's metric with its unit, and an arrow in the better direction. */
const metricName = (cell) => boardOf(cell).columns.find(({ dataset }) => dataset === cell.dataset).heads.score;
/** Says whether a cell is not above its floors, so that it is not compared. */
const isBelow = (cell) => cell.mark === "not above floors" || cell.mark === "floor";
const scaled = (points, factor) => points.map(([epoch, value]) => [epoch, value * factor]);
const boardOf = (cell) => data.boards.find((b) => b.task === cell.task && b.profile === cell.profile);
const cellsOn = (board, dataset) =>
  board.rows.map((row) => data.cells[row.cells[dataset]]).filter((cell) => cell !== undefined);
