"use strict";

/* The page of folders and scans of `facecheck serve`. */
(() => {
  const form = document.getElementById("choose");
  const trouble = document.getElementById("choose-trouble");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = { folder: form.dataset.folder, perFace: document.getElementById("per-face").checked };
    let said = "Nobody answers: is facecheck serve running?";
    try {
      const answer = await fetch("/scans", {
        method: "POST", body: JSON.stringify(asked), headers: { "Content-Type": "application/json" },
      });
      const { address, error } = await answer.json();
      if (address) {
        location.assign(address);
        return;
      }
      said = error;
    } catch { /* as it was said */ }
    trouble.textContent = said;
    trouble.hidden = false;
  });
  // Of a page that the back button brings again, what it says of scans is old.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
