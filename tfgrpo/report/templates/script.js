// Convenience only: without it, a reader opens the folded parts by hand.
const reveal = () => {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  for (let at = place; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (place) place.scrollIntoView();
};
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => document.querySelectorAll("details.print").forEach((at) => { at.open = true; }));
reveal();

// Words, state and order: nothing is loaded or lost, what does not fit is hidden, and how many fit is said.
const number = (cell) => parseFloat(cell.textContent.replace("\u2212", "-").replace(/,/g, ""));
const compare = (at) => (a, b) => {
  const [x, y] = [a.cells[at], b.cells[at]];
  if (x.classList.contains("num")) return (isNaN(number(y)) ? -Infinity : number(y)) - (isNaN(number(x)) ? -Infinity : number(x)) || 0;
  return x.textContent.trim().localeCompare(y.textContent.trim());
};
for (const bar of document.querySelectorAll(".filter[data-over]")) {
  const items = [...document.querySelectorAll(`[data-item="${bar.dataset.over}"]`)];
  const texts = items.map((item) => {
    const more = item.dataset.with && document.getElementById(item.dataset.with);
    return (item.textContent + (more ? more.textContent : "")).toLowerCase();
  });
  const state = bar.querySelector('[data-by="state"]'), order = bar.querySelector('[data-by="order"]');
  const say = bar.querySelector("output"), words = bar.querySelector("input");
  for (const value of new Set(items.map((item) => item.dataset.state))) state.add(new Option(value, value));
  const head = order && items.length ? [...items[0].closest("table").tHead.rows[0].cells] : [];
  head.forEach((cell, at) => { if (!cell.classList.contains("plot")) order.add(new Option(cell.textContent, at)); });
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let fit = 0;
    items.forEach((item, i) => {
      const shown = wanted.every((word) => texts[i].includes(word)) && (!state.value || item.dataset.state === state.value);
      item.hidden = !shown;
      fit += shown;
      const more = item.dataset.with && document.getElementById(item.dataset.with);
      if (more) more.hidden = !shown;
      const around = item.parentElement.closest("details");
      if (shown && around && (wanted.length || state.value)) around.open = true;
    });
    const sorted = order && order.value ? [...items].sort(compare(Number(order.value))) : items;
    if (order) sorted.forEach((row) => row.parentElement.append(row));
    say.textContent = wanted.length || state.value ? `${fit} of ${items.length} fit` : "";
  };
  bar.addEventListener("input", apply);
  bar.hidden = items.length < 2;
}
