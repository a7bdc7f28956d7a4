// Filters the table that Python computed, and counts places among the methods that are left. Without it all of it is shown.
(() => {
  "use strict";
  const form = document.getElementById("advise-form");
  const status = document.getElementById("advise-status");
  const uses = [...document.querySelectorAll("#advise-table tbody")];
  const words = (text) => text.split(" ").filter(Boolean);
  const isOwn = (row) => row.hasAttribute("data-own");
  const place = (behind, among) => {
    const there = new Set(among.map((row) => row.dataset.method));
    return 1 + words(behind).filter((method) => there.has(method)).length;
  };

  const filter = () => {
    const asked = new FormData(form);
    const needs = asked.getAll("needs");
    const format = asked.get("format");
    asked.delete("needs");
    asked.delete("format");
    let methods = 0;
    let seen = 0;
    for (const use of uses) {
      const rows = [...use.rows].slice(1);
      const isAsked = [...asked].every(([axis, level]) => !level || use.getAttribute(`data-${axis}`) === level);
      const left = rows.filter((row) => isAsked && needs.every((need) => words(row.dataset.needs).includes(need)));
      const own = left.filter(isOwn);
      const shown = left.filter((row) => !format || (format === "any" ? isOwn(row) : row.dataset.codec === format));
      for (const row of rows) {
        row.hidden = !shown.includes(row);
        if (isOwn(row)) row.cells[1].textContent = place(row.dataset.own, own);
        row.cells[2].textContent = place(row.dataset.alike, left.filter((one) => one.dataset.codec === row.dataset.codec));
      }
      use.hidden = !shown.length;
      methods += shown.length;
      seen += shown.length ? 1 : 0;
    }
    status.textContent = methods
      ? `${methods} ${methods === 1 ? "row" : "rows"}, for ${seen} ${seen === 1 ? "use" : "uses"} that ${seen === 1 ? "was" : "were"} measured.`
      : "Not measured together, or no method has all of this. make advise says what was measured of each part.";
  };

  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
