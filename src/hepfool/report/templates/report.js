// SPDX-License-Identifier: BSD-3-Clause
document.querySelectorAll("table.sortable th button").forEach((button) => button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  const key = (row) => row.cells[column].textContent.trim();
  const rows = [...body.rows].sort((a, b) => {
    const x = parseFloat(key(a)), y = parseFloat(key(b));
    const numbers = !isNaN(x) && !isNaN(y);
    // What is no number stands behind the numbers.
    const order = numbers ? x - y : isNaN(x) !== isNaN(y) ? (isNaN(x) ? 1 : -1) : key(a).localeCompare(key(b));
    return up ? order : -order;
  });
  body.append(...rows);
  head.parentElement.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
}));
// Escape closes an enlarged figure.
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && location.hash.startsWith("#large-")) location.hash = location.hash.replace("large", "figure");
});
