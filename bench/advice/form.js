// Filters the table that Python computed, and counts places among the methods that are left. Without it all of it is shown.
(() => {
  "use strict";
  const form = document.getElementById("advise-form");
  const status = document.getElementById("advise-status");
  const rows = [...document.querySelectorAll("#advise-table tbody tr")];
  const words = (text) => text.split(" ").filter(Boolean);

  const filter = () => {
    const asked = new FormData(form);
    const needs = asked.getAll("needs");
    asked.delete("needs");
    const shown = rows.filter((row) =>
      [...asked].every(([field, level]) => !level || row.getAttribute(`data-${field}`) === level) &&
      needs.every((need) => words(row.dataset.needs).includes(need)));
    const left = new Set(shown.map((row) => `${row.dataset.question} ${row.dataset.method}`));
    for (const row of rows) {
      row.hidden = !left.has(`${row.dataset.question} ${row.dataset.method}`);
      const ahead = words(row.dataset.behind).filter((method) => left.has(`${row.dataset.question} ${method}`));
      row.cells[0].textContent = 1 + ahead.length;
    }
    const uses = new Set(shown.map((row) => row.dataset.question)).size;
    status.textContent = shown.length
      ? `${shown.length} rows, for ${uses} ${uses === 1 ? "use" : "uses"} that were measured.`
      : "Not measured together, or no method has all of this. make advise says what was measured of each part.";
  };

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
