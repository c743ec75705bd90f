"use strict";
// Tables sort by a click on a head, or by its key; without this script they are plain tables.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const compare = (first, second) => {
    const [a, b] = [first.dataset.value, second.dataset.value];
    return a !== undefined && b !== undefined
      ? Number(a) - Number(b)
      : first.textContent.localeCompare(second.textContent, "en", { numeric: true });
  };
  const missing = (cell) => cell.classList.contains("missing");
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows];
      rows.sort((first, second) => {
        const [a, b] = [first.cells[column], second.cells[column]];
        // What is not known stands last, whichever way.
        return missing(a) - missing(b) || sign * compare(a, b);
      });
      body.append(...rows);
    });
  });
}
