"use strict";

/* A scan that may be running: its progress, starting and stopping it, and its rows as they come. */
(async () => {
  const data = pageData();
  const $ = (id) => document.getElementById(id);
  const EVERY = 1000;  // milliseconds between two questions
  const count = (number) => number.toLocaleString("en");
  let asked = 0;

  /** Return a time in the words of people. */
  function timeOf(seconds) {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${(seconds / 3600).toFixed(1)} h`;
  }

  function show({ state, done, total, seconds_left: left, message }) {
    const files = total == null ? `${count(done)} files` : `${count(done)} of ${count(total)} files`;
    const words = {
      new: "Not started",
      running: `Scanning: ${files}${left == null ? "" : `, ${timeOf(left)} left`}`,
      stopped: `Stopped: ${files}. Start it again, and it resumes here.`,
      done: `Done: ${count(done)} ${done === 1 ? "file" : "files"}`,
      failed: `Failed: ${message}`,
    }[state];
    $("progress-words").textContent = words;
    const bar = $("progress");
    bar.hidden = state === "done" || state === "new";
    if (total) bar.value = done / total;
    else bar.removeAttribute("value");
    if ($("start")) {
      $("start").hidden = state === "running";
      $("start").textContent = { new: "Start the scan", done: "Scan new and changed files" }[state] ?? "Resume the scan";
      $("start").classList.toggle("primary", state !== "done");
      $("stop").hidden = state !== "running";
    }
    $("results").hidden = state !== "done";
    $("gallery").hidden = state === "new";
  }

  function complain(words) {
    $("live-trouble").textContent = words;
    $("live-trouble").hidden = !words;
  }

  async function ask(address, options = {}) {
    const answer = await fetch(address, options);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error ?? "The server refused.");
    return found;
  }

  /** Take up all rows that have come; return whether the scan still runs. */
  async function follow(progress) {
    show(progress);
    // Of another beginning, or of thresholds that the page does not know yet: from scratch.
    if (progress.generation !== data.generation || progress.known !== data.known) {
      await gallery.decisions.saved();
      location.reload();
      return false;
    }
    while (gallery.rows.count < progress.rows) {
      const before = gallery.rows.count;
      await gallery.append(await ask(`rows?from=${before}`));
      if (gallery.rows.count === before) break;
    }
    return progress.state === "running";
  }

  async function watch() {
    const mine = ++asked;
    while (mine === asked) {
      try {
        if (!await follow(await ask("progress"))) return;
        complain("");
      } catch (error) {
        complain(error instanceof TypeError ? "Nobody answers: is facecheck serve running?" : error.message);
      }
      await new Promise((done) => setTimeout(done, EVERY));
    }
  }

  async function tell(action) {
    try {
      complain("");
      show(await ask(action, { method: "POST" }));
      watch();
    } catch (error) {
      complain(error.message);
    }
  }

  show(data.progress);
  $("start")?.addEventListener("click", () => tell("start"));
  $("stop")?.addEventListener("click", () => tell("stop"));
  await gallery.ready;
  watch();
})();
