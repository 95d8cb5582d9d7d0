// The address after # keeps what is shown: view, filters, order and the open drawer.
const DEFAULTS = { view: "score", task: "", profile: "", dataset: "", variant: "", sort: "", cell: "" };

/** Reads the address. What is missing or unknown has its default. */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const read = Object.entries(DEFAULTS).map(([name, usual]) => [name, given.get(name) ?? usual]);
  return Object.fromEntries(read);
}

/** Changes some of what the address keeps. A new drawer is a step that "back" undoes. */
function changeAddress(changes) {
  const next = { ...readAddress(), ...changes };
  const kept = Object.entries(next).filter(([name, value]) => value !== DEFAULTS[name]);
  const hash = `#${new URLSearchParams(kept)}`;
  if (hash === location.hash || (hash === "#" && !location.hash)) return;
  history[changes.cell ? "pushState" : "replaceState"](null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

// A link to a drawer keeps the filters.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#cell=']");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  changeAddress({ cell: new URLSearchParams(link.getAttribute("href").slice(1)).get("cell") });
});
