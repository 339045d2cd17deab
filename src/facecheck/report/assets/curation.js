"use strict";

const form = document.getElementById("filter");

/** Show the pairs that the form asks for, and how many these are. */
function filterPairs() {
  const why = document.getElementById("why").value;
  const words = document.getElementById("search").value.toLowerCase();
  const between = document.getElementById("between").checked;
  const odds = document.getElementById("odds").checked;
  const pairs = [...document.querySelectorAll("#pairs > li")];
  for (const pair of pairs) {
    const data = pair.dataset;
    pair.hidden = Boolean(
      (why && data.why !== why) || (between && !("between" in data)) ||
      (odds && !("odds" in data)) || (words && !data.words.toLowerCase().includes(words)),
    );
  }
  const shown = pairs.filter((pair) => !pair.hidden).length;
  document.getElementById("count").textContent = `${shown} of ${pairs.length} pairs`;
}

if (form) {
  form.hidden = false;
  form.addEventListener("input", filterPairs);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filterPairs));
  filterPairs();
}
