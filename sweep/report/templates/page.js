"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const readJson = (place, name = "script") => JSON.parse(place.querySelector(name).textContent);
const themes = readJson(document, "#themes"), settings = readJson(document, "#settings");
const MAX_SVG_TRIALS = 400; // more are drawn on a canvas, so that the page scrolls smoothly

// The datasets of a plot are rows without keys; a setting is written once for all plots and tables.
function readCell(name, value) {
  return name === "setting" && typeof value === "number" ? settings[value] : value;
}
function expand({ keys, rows }) {
  return rows.map((row) => Object.fromEntries(keys.map((name, place) => [name, readCell(name, row[place])])));
}
const plots = [...document.querySelectorAll(".plot")].map((place) => {
  const spec = readJson(place);
  const trials = Object.values(spec.datasets).filter(({ keys }) => keys.includes("trial"));
  const isLarge = trials.some(({ rows }) => rows.length > MAX_SVG_TRIALS);
  for (const name in spec.datasets) spec.datasets[name] = expand(spec.datasets[name]);
  const drawing = place.appendChild(document.createElement("div"));
  drawing.setAttribute("aria-hidden", "true"); // its place bears the name
  return { place, drawing, spec, drawn: null, renderer: isLarge ? "canvas" : "svg" };
});

// One after the other, the nearest first, with a pause between them, so that a long page can be read and scrolled at once.
const distance = ({ place }) => Math.abs(place.getBoundingClientRect().top);
async function draw() {
  const config = dark.matches ? themes.dark : themes.light;
  const left = new Set(plots);
  while (left.size) {
    if (config !== (dark.matches ? themes.dark : themes.light)) return;
    const plot = [...left].reduce((near, one) => (distance(one) < distance(near) ? one : near));
    left.delete(plot);
    plot.drawn?.finalize();
    plot.drawn = await vegaEmbed(plot.drawing, plot.spec, { config, actions: false, renderer: plot.renderer, tooltip: { theme: dark.matches ? "dark" : "light" } });
    await new Promise((resolve) => setTimeout(resolve));
  }
}
dark.addEventListener("change", draw);
draw();

// Tables: the rows of a long one are made when they are asked for.
function addRow(body, values) {
  const row = body.insertRow();
  for (const value of values) {
    const cell = row.insertCell();
    cell.textContent = value ?? "";
    if (typeof value === "number") cell.dataset.value = value;
  }
  return row;
}
function showAll(region) {
  const rest = region.querySelector(".rest");
  if (!rest) return;
  const body = region.querySelector("tbody");
  const names = [...region.querySelectorAll("th")].map((heading) => heading.textContent);
  for (const values of JSON.parse(rest.textContent)) addRow(body, values.map((value, place) => readCell(names[place], value)));
  rest.remove();
  region.querySelector(".all").remove();
}

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
  if (event.target.matches?.(".all")) showAll(event.target.closest(".scroll"));
  const heading = event.target.closest?.("th button")?.parentElement;
  if (!heading) return;
  showAll(heading.closest(".scroll"));
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const body = heading.closest("table").tBodies[0];
  body.append(...[...body.rows].sort((a, b) => sign * compare(key(a, heading.cellIndex), key(b, heading.cellIndex))));
});

// Two trials side by side: what only few trials have is left out where neither has it.
for (const card of document.querySelectorAll(".pair")) {
  const { names, trials, values, chosen } = readJson(card);
  const selects = [...card.querySelectorAll("select")];
  const show = () => {
    const [first, second] = selects.map((select) => values[select.value]);
    const body = card.querySelector("tbody");
    body.replaceChildren();
    names.forEach((name, place) => {
      const both = [first[place] ?? null, second[place] ?? null];
      if (both.every((value) => value === null)) return;
      const numbers = name !== "seed" && both.every((value) => typeof value === "number");
      const gap = numbers ? Number((both[1] - both[0]).toPrecision(4)) : "";
      addRow(body, [name, ...both, gap > 0 ? `+${gap}` : gap]).classList.toggle("same", both[0] === both[1]);
    });
  };
  selects.forEach((select, place) => {
    select.append(...trials.map((name, index) => new Option(name, index)));
    select.value = chosen[place];
    select.addEventListener("change", show);
  });
  show();
}

// While the sweep runs the page reads itself again, unless somebody is busy with it, and is then as it was left.
const details = [...document.querySelectorAll("details")];
const selects = [...document.querySelectorAll("select")];
if (history.state) {
  details.forEach((one, place) => (one.open = history.state.open[place] ?? one.open));
  selects.forEach((one, place) => {
    one.value = history.state.chosen[place] ?? one.value;
    one.dispatchEvent(new Event("change"));
  });
  scrollTo(0, history.state.y);
}
const refreshS = Number(document.querySelector('meta[name="refresh-s"]')?.content ?? 0);
if (refreshS) {
  let touched = -Infinity;
  for (const kind of ["pointermove", "wheel", "keydown"]) addEventListener(kind, () => (touched = performance.now()), { passive: true });
  setInterval(() => {
    if (document.hidden || performance.now() - touched < 1000 * refreshS) return;
    history.replaceState({ y: scrollY, open: details.map((one) => one.open), chosen: selects.map((one) => one.value) }, "");
    location.reload();
  }, 1000 * refreshS);
}
