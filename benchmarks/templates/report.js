"use strict";
// Sorting and filtering of the tables. Without scripts the page is complete, only in its own order.

const FEW = 5; // rows that need no filter

for (const figure of document.querySelectorAll("figure.table")) {
  const table = figure.querySelector("table");
  if (table.querySelectorAll("tbody tr:not(.block)").length > FEW) addFilter(figure, table);
  table.querySelectorAll("tr.heads th").forEach((head, index) => addSorting(table, head, index));
}

function addFilter(figure, table) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.className = "filter";
  input.type = "search";
  input.placeholder = "Filter rows";
  input.setAttribute("aria-label", "Filter the rows of: " + figure.querySelector("figcaption").textContent);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of table.querySelectorAll("tbody tr:not(.block)")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    showBlocks(table);
  });
  label.append(input);
  figure.querySelector("figcaption").after(label);
}

function addSorting(table, head, index) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    // Numbers are most often wanted largest first; the third click gives the table its own order back.
    const orders = head.classList.contains("number") ? ["descending", "ascending"] : ["ascending", "descending"];
    const next = orders[orders.indexOf(head.getAttribute("aria-sort")) + 1];
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    if (next) head.setAttribute("aria-sort", next);
    sortRows(table, index, next);
  });
}

function sortRows(table, index, order) {
  if (!table.original) {
    table.original = [...table.tBodies].map((body) => [body, [...body.rows]]);
    table.sorted = document.createElement("tbody");
  }
  if (!order) {
    table.sorted.remove();
    for (const [body, rows] of table.original) {
      body.append(...rows);
      table.append(body);
    }
    showBlocks(table);
    return;
  }
  const rows = table.original.flatMap(([, all]) => all.filter((row) => !row.classList.contains("block")));
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((a, b) => compare(a.cells[index], b.cells[index], sign));
  table.original.forEach(([body]) => body.remove());
  table.sorted.replaceChildren(...rows);
  table.append(table.sorted);
}

function compare(a, b, sign) {
  const [x, y] = [key(a), key(b)];
  if (x === null || y === null) return (x === null) - (y === null); // empty cells come last in either order
  return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
}

function key(cell) {
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = cell.textContent.trim();
  if (text === "–" || text === "") return null;
  return /^[+-]?[\d.]+$/.test(text) ? Number(text) : text;
}

function showBlocks(table) {
  for (const block of table.querySelectorAll("tr.block")) {
    block.hidden = [...block.parentElement.rows].every((row) => row === block || row.hidden);
  }
}
