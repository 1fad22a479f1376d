"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const themes = JSON.parse(document.getElementById("themes").textContent);
const plots = [...document.querySelectorAll(".plot")].map((place) => {
  const spec = JSON.parse(place.querySelector("script").textContent);
  const drawing = place.appendChild(document.createElement("div"));
  drawing.setAttribute("aria-hidden", "true"); // its place bears the name
  return { drawing, spec, drawn: null };
});

// One after the other, with a pause between them, so that a long page can be read and scrolled at once.
async function draw() {
  const config = dark.matches ? themes.dark : themes.light;
  for (const plot of plots) {
    if (config !== (dark.matches ? themes.dark : themes.light)) return;
    plot.drawn?.finalize();
    plot.drawn = await vegaEmbed(plot.drawing, plot.spec, { config, actions: false, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" } });
    await new Promise((resolve) => setTimeout(resolve));
  }
}
dark.addEventListener("change", draw);
draw();

// A heading sorts its table; a second time the other way round.
function key(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b);
}
document.addEventListener("click", (event) => {
  const heading = event.target.closest?.("th button")?.parentElement;
  if (!heading) return;
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const body = heading.closest("table").tBodies[0];
  body.append(...[...body.rows].sort((a, b) => sign * compare(key(a, heading.cellIndex), key(b, heading.cellIndex))));
});
