"use strict";

/*
 * What people decide about files and faces: kept, undone, exported and loaded as corrections, the
 * CSV that docs/review.md describes. Any page whose rows have numbers can use it.
 */

/** The columns of corrections, in order; known/entries.py and docs/review.md have them, too. */
const CORRECTIONS = ["path", "sha256", "face", "faces", "verdict", "kind", "note", "by", "at"];
/** A note is no longer than this: MOST_NOTE of known/options.py. */
const MOST_NOTE = 500;

/** Return the verdict that a kind stands for: decided() of known/options.py. */
const verdictOfKind = (kind) => (kind === "photo" ? "real" : "artificial");

/** Return a note as a table of known files takes it: short, and no formula. */
const tidyNote = (text) => text.replace(/^[=+\-@\s]+/, "").replace(/\s+/g, " ").trim().slice(0, MOST_NOTE);

/**
 * Return what a key decides of a row, or null if it decides nothing.
 *
 * A agrees with the row, D says the opposite, U cannot tell, a digit names the kind.
 */
function decisionOfKey(key, { verdict, kind }, kinds) {
  const claim = verdict === "real" || verdict === "artificial";
  const chosen = kinds[Number(key) - 1];
  if (chosen) return { verdict: verdictOfKind(chosen), kind: chosen };
  switch (key.toLowerCase()) {
    case "a": return claim ? { verdict, kind } : null;
    case "d":
      if (!claim) return null;
      return verdict === "real" ? { verdict: "artificial", kind: "" } : { verdict: "real", kind: "photo" };
    case "u": return { verdict: "uncertain", kind: "" };
    default: return null;
  }
}

/** Keeps decisions in the browser, under a name for the page's rows. */
class BrowserStore {
  #key;

  constructor(identity) {
    this.#key = `facecheck-decisions:${identity}`;
  }

  async load() {
    try {
      const rows = JSON.parse(localStorage.getItem(this.#key) ?? "[]");
      return rows.map(([row, verdict, kind, note, by, at, excluded]) =>
        [row, { verdict, kind, note, by, at, ...(excluded && { excluded }) }]);
    } catch {
      return [];
    }
  }

  /** Write all decisions, of which some have changed. */
  async save(_changed, all) {
    const rows = Array.from(all, ([row, one]) => [row, one.verdict, one.kind, one.note, one.by, one.at, one.excluded]);
    try {
      localStorage.setItem(this.#key, JSON.stringify(rows));
    } catch {
      throw new Error("This browser keeps no more decisions for this page: export the corrections.");
    }
  }
}

/** Sends decisions to the server that the page came from, which writes them to a file. */
class ServerStore {
  #address;

  constructor(address) {
    this.#address = address;
  }

  async load() {
    const answer = await fetch(this.#address);
    if (!answer.ok) throw new Error("The decisions could not be loaded: is facecheck serve running?");
    return (await answer.json()).decisions;
  }

  async save(changed, all) {
    const decisions = changed.map((row) => [row, all.get(row) ?? null]);
    let said = "Decisions could not be saved: is facecheck serve running?";
    try {
      const answer = await fetch(this.#address, {
        method: "POST", body: JSON.stringify({ decisions }), keepalive: decisions.length < 100,
        headers: { "Content-Type": "application/json" },
      });
      if (answer.ok) return;
      said = (await answer.json()).error ?? said;
    } catch { /* nobody answers */ }
    throw new Error(said);
  }
}

/**
 * The decisions about the rows of a page.
 *
 * `store` loads and saves them; `describe(row)` returns a row's path, sha256, face and faces as
 * corrections have them; `changed(rows)` is called when some have changed, `failed(words)` when
 * they could not be saved.
 */
class Decisions {
  by = "";
  #all = new Map();
  #undo = [];
  #unsaved = new Set();
  #timer = 0;
  #saving = Promise.resolve();
  #options;

  constructor(options) {
    this.#options = options;
    try {
      this.by = localStorage.getItem("facecheck-by") ?? "";
    } catch { /* a browser that keeps nothing */ }
    addEventListener("pagehide", () => this.#flush());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#flush();
    });
  }

  async load() {
    for (const [row, one] of await this.#options.store.load()) this.#all.set(row, one);
    this.#options.changed([...this.#all.keys()]);
  }

  get size() {
    return this.#all.size;
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  get(row) {
    return this.#all.get(row);
  }

  /** Say who decides from now on. */
  signedBy(name) {
    this.by = name.trim().slice(0, 100);
    try {
      localStorage.setItem("facecheck-by", this.by);
    } catch { /* a browser that keeps nothing */ }
  }

  /** Decide some rows, each as `choose(row)` says; null leaves a row as it is, undefined clears it. */
  decide(rows, choose) {
    const before = [];
    const at = `${new Date().toISOString().slice(0, 19)}Z`;
    for (const row of rows) {
      const own = this.#all.get(row);
      const chosen = choose(row);
      if (chosen === null || (!chosen && !own)) continue;
      before.push([row, own]);
      if (!chosen) this.#all.delete(row);
      else this.#all.set(row, { note: own?.note ?? "", ...chosen, by: this.by, at });
    }
    if (!before.length) return;
    this.#undo.push(before);
    this.#save(before.map(([row]) => row));
  }

  note(row, text) {
    const own = this.#all.get(row);
    const note = tidyNote(text);
    if (own && own.note !== note) this.decide([row], () => ({ ...own, note }));
  }

  /** Take back what was decided last; return its rows, or null if there is nothing. */
  undo() {
    const before = this.#undo.pop();
    if (!before) return null;
    for (const [row, own] of before) {
      if (own) this.#all.set(row, own);
      else this.#all.delete(row);
    }
    const rows = before.map(([row]) => row);
    this.#save(rows);
    return rows;
  }

  #save(rows) {
    for (const row of rows) this.#unsaved.add(row);
    this.#options.changed(rows);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), 150);
  }

  /** Hand what is not saved to the store, one batch after the other. */
  #flush() {
    clearTimeout(this.#timer);
    if (!this.#unsaved.size) return;
    const rows = [...this.#unsaved];
    this.#unsaved.clear();
    this.#saving = this.#options.store.save(rows, this.#all).then(
      () => this.#options.failed(""),
      (error) => {
        for (const row of rows) this.#unsaved.add(row);  // they go with the next ones
        this.#options.failed(error.message);
      });
  }

  /** Wait until all is saved. */
  async saved() {
    this.#flush();
    await this.#saving;
  }

  /** Return all decisions as corrections, in the order of the rows. */
  csv() {
    const columns = this.#options.columns ?? CORRECTIONS;
    const lines = [columns.join(",")];
    for (const row of [...this.#all.keys()].sort((a, b) => a - b)) {
      const all = { ...this.#options.describe(row), ...this.#all.get(row) };
      lines.push(columns.map((name) => csvCell(
        name === "path" ? safeCell(all.path) : safeText(String(all[name] ?? "")))).join(","));
    }
    return `${lines.join("\n")}\n`;
  }

  /** Load corrections for `count` rows; return how many were taken, and how many are of no row. */
  read(text, count, kinds) {
    const [names, ...lines] = csvRows(text.replace(/^\ufeff/, ""));
    const place = Object.fromEntries((names ?? []).map((name, at) => [name.trim().toLowerCase(), at]));
    if (!("path" in place) || !("verdict" in place || "kind" in place)) {
      throw new Error("These are no corrections: they have the columns path, and verdict or kind.");
    }
    const cell = (cells, name) => exactText(cells[place[name]] ?? "").trim();
    const wanted = new Map();
    let strange = 0;
    for (const cells of lines) {
      const kind = cell(cells, "kind");
      const verdict = cell(cells, "verdict") || (kind && verdictOfKind(kind));
      const known = ["real", "artificial", "uncertain"].includes(verdict) && (!kind || kinds.includes(kind));
      if (!known) strange++;
      else {
        const key = `${safeCell(cells[place.path] ?? "")}\0${cell(cells, "face")}`;
        wanted.set(key, {
          verdict, kind, note: tidyNote(cell(cells, "note")), by: cell(cells, "by"), at: cell(cells, "at"),
          ...(cell(cells, "excluded") && { excluded: cell(cells, "excluded") }),
        });
      }
    }
    const rows = [];
    for (let row = 0; row < count && wanted.size; row++) {
      const { path, face } = this.#options.describe(row);
      const key = `${safeCell(path)}\0${face ?? ""}`;
      const one = wanted.get(key);
      if (!one) continue;
      this.#all.set(row, one);
      wanted.delete(key);
      rows.push(row);
    }
    this.#save(rows);
    return [rows.length, wanted.size + strange];
  }
}

/** Return the rows of CSV, each a list of cells; empty lines are left out. */
function csvRows(text) {
  const rows = [];
  let cells = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text);
    if (!found) throw new Error("This is no CSV: its quotes are not closed.");
    cells.push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[3] === ",") {
      if (pattern.lastIndex === text.length) cells.push("");
      else continue;
    }
    if (cells.length > 1 || cells[0]) rows.push(cells);
    cells = [];
  }
  return rows;
}
