// A note beside a cell with its seeds, while the pointer or the keyboard's focus is on it.
const note = el("div", { id: "seeds", role: "tooltip", hidden: true });
document.body.append(note);

/** Shows the seeds of a cell beside its place in the matrix. */
function showSeeds(place, cell) {
  if (!cell.seeds.length) return hideSeeds();
  const scaled = cell.seeds.map(([, value]) => value * cell.factor);
  const fact = (wanted) => cell.facts.find(([name]) => name === wanted)?.[1] ?? "";
  const list = scaled.map(readable).join(", ");
  const unit = cell.factor === 100 ? " %" : "";
  note.replaceChildren(
    el("b", {}, `${cell.variant} on ${cell.dataset}`),
    el("div", {}, `${cell.seeds.length} seeds: ${list}${unit}`),
    seedStrip(cell, scaled),
    el("div", {}, `floors: ${fact("floors")}`),
    el("div", {}, fact("tested on")),
  );
  note.hidden = false;
  place.querySelector("button").setAttribute("aria-describedby", note.id);
  const [at, own] = [place.getBoundingClientRect(), note.getBoundingClientRect()];
  const left = Math.max(8, Math.min(at.left, innerWidth - own.width - 8));
  const below = at.bottom + own.height + 12 < innerHeight || at.top < own.height + 12;
  note.style.left = `${left + scrollX}px`;
  note.style.top = `${(below ? at.bottom + 6 : at.top - own.height - 6) + scrollY}px`;
}

function hideSeeds() {
  note.hidden = true;
}

/** Draws the seeds of a cell among the means of the other variants on its dataset. */
function seedStrip(cell, scaled) {
  const others = cellsOn(boardOf(cell), cell.dataset).filter((one) => one.mean !== null);
  const ends = cell.interval?.map((end) => end * cell.factor) ?? [];
  const strip = Plot.plot({
    width: 260,
    height: 46,
    marginLeft: 8,
    marginRight: 8,
    style: { background: "transparent", color: "inherit", fontSize: "11px" },
    x: { label: null, ticks: 4, nice: true },
    marks: [
      Plot.tickX(others, { x: (one) => one.mean * one.factor, strokeOpacity: 0.3 }),
      ends.length ? Plot.ruleY([0], { x1: ends[0], x2: ends[1], stroke: "var(--accent)", strokeWidth: 3 }) : null,
      Plot.dotX(scaled, { fill: "var(--accent)", y: 0, r: 4 }),
    ],
  });
  strip.setAttribute("aria-hidden", "true");
  return el("div", {}, strip, el("small", {}, "dots: seeds, bar: 95 % interval, grey: means of the others"));
}

addEventListener("keydown", (event) => event.key === "Escape" && hideSeeds());
