"use strict";

/*
 * The gallery of a scan: rows.js holds the rows, decisions.js what people decide about them. Only
 * the tiles in and near the window are elements, so a million rows scroll as a hundred do.
 *
 * `gallery` is what other scripts of the page may use: `ready`, `rows`, `decisions` and `grew()`.
 */
const gallery = (() => {
  const data = pageData();
  const $ = (id) => document.getElementById(id);
  const LABELS = {
    no_face: "no face", too_small: "too small", between: "between the thresholds",
    flips: "flips when re-encoded", "like known": "like a known file", provenance: "the file says so",
    known: "known file", unfamiliar: "unfamiliar to the model",
  };
  const SHORT = { between: "between", flips: "flips", "like known": "like known", provenance: "provenance" };
  const OWN = { verdict: "verdict-", kind: "kind-" };
  const FACETS = ["verdict", "kind", "reason", "status", "decision"];
  const BINS = 40;
  /** Rows of tiles that are kept above and below the window. */
  const NEAR = 3;
  /** Browsers stop at heights of 17 to 33 million pixels; beyond this a pixel scrolls several. */
  const TALLEST = 12e6;
  /** Height of a tile's text, as gallery.css has it. */
  const TEXT = 46;
  /** Folders that can be chosen, at most: no one reads longer lists. */
  const MOST_FOLDERS = 400;

  // ---- rows ----

  const rows = new Rows();
  const missing = new Set(data.missing);
  const heated = new Set(data.heat);
  let ticked = new Uint8Array(0);
  let tickedCount = 0;

  /** What was decided of each row, by its place among these; -1 where nothing was. */
  const DECIDED = ["agreed", "disagreed", "cannot tell"];
  let decided = new Int8Array(0);

  const wordOf = (column, row) => rows.word(column, row);
  const textOf = (column, row) => rows.text(column, row);
  const numberOf = (column, row) => rows.number(column, row);
  const pathOf = (row) => rows.path(row);
  const scoreOf = (row) => rows.number("score", row);
  const labelOf = (word) => LABELS[word] ?? word;
  const inUnits = (millionths, digits) => (millionths / 1e6).toFixed(digits);
  const count = (number) => number.toLocaleString("en");
  const pictureOf = (folder, row) => {
    if (data.live) return `${folder}/${row}?of=${data.generation}`;
    const name = String(row).padStart(6, "0");
    return `${folder}/${String(Math.floor(row / 1000)).padStart(3, "0")}/${name}.webp`;
  };
  const hasThumbnail = (row) => data.live
    ? wordOf("status", row) !== "error" : row < data.thumbnails && !missing.has(row);

  /** Return the address of a row's own file, or null for what is in an archive or a store. */
  function fileOf(row) {
    if (data.live) return hasThumbnail(row) ? pictureOf("pictures", row) : null;
    const path = pathOf(row);
    if (path.includes("::") || /^[a-z][a-z0-9+.-]*:\/\//i.test(path)) return null;
    // Text as name_text of core/files.py writes it: \xNN is a byte.
    const encoded = (text) =>
      text.replace(/\\x([0-9a-f]{2})|[^\\]+|\\/g, (part, byte) =>
        byte ? `%${byte}` : encodeURIComponent(part).replaceAll("%2F", "/"));
    return path.startsWith("/") ? `file://${encoded(path)}` : `${encoded(data.base)}/${encoded(path)}`;
  }

  // ---- which rows are shown, and in which order ----

  let order = new Int32Array(0);
  let searchText = null;
  let byName = null;

  /** Return which rows have a text in their path, in any case: 1 for each of them. */
  function rowsWith(wanted) {
    searchText ??= makeSearchText();
    const [text, starts] = searchText;
    const found = new Uint8Array(rows.count);
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at)) {
      let [low, high] = [0, rows.count - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (starts[middle] <= at) low = middle;
        else high = middle - 1;
      }
      found[low] = 1;
      if (low + 1 === rows.count) break;
      at = starts[low + 1];
    }
    return found;
  }

  /** Return all paths as one text, which is searched ten times faster than a million are. */
  function makeSearchText() {
    const folders = rows.folders.map((folder) => folder.replaceAll("\0", "\ufffd").toLowerCase());
    const paths = rows.names.map((name, row) => folders[rows.column("folder")[row]] + name.toLowerCase());
    const starts = new Uint32Array(rows.count);
    let at = 0;
    paths.forEach((path, row) => {
      starts[row] = at;
      at += path.length + 1;
    });
    return [paths.join("\0"), starts];
  }

  /** Return each row's place among the names in their order; numbers in them count as numbers. */
  function namePlaces() {
    if (!byName) {
      const { compare } = new Intl.Collator("en", { numeric: true });
      const ranks = (texts) => {
        const sorted = texts.map((text, at) => [text, at]).sort(([a], [b]) => compare(a, b));
        const rank = new Int32Array(texts.length);
        sorted.forEach(([, at], place) => (rank[at] = place));
        return rank;
      };
      const [folders, folder] = [ranks(rows.folders), rows.column("folder")];
      const keys = beginnings(ranks);
      const byRow = new Int32Array(rows.count);
      for (let row = 0; row < rows.count; row++) byRow[row] = row;
      byRow.sort((a, b) => keys[a] - keys[b] || compare(rows.names[a], rows.names[b]) ||
        folders[folder[a]] - folders[folder[b]] || a - b);
      byName = new Int32Array(rows.count);
      for (let place = 0; place < rows.count; place++) byName[byRow[place]] = place;
    }
    return byName;
  }

  /** Return a number for each name's letters up to its first digits, and these: IMG_ and 1234. */
  function beginnings(ranks) {
    // Comparing whole names takes thirty times as long, and few begin alike.
    const places = new Map();
    const letters = new Int32Array(rows.count);
    const digits = new Float64Array(rows.count);
    const pattern = /^(\D*)(\d{0,12})/;
    for (let row = 0; row < rows.count; row++) {
      const [, first, number] = pattern.exec(rows.names[row]);
      const lower = first.toLowerCase();
      let place = places.get(lower);
      if (place === undefined) places.set(lower, (place = places.size));
      letters[row] = place;
      digits[row] = Number(number);
    }
    const rank = ranks([...places.keys()]);
    const room = places.size < 9000 ? 1e12 : 0;  // both fit in a number's 53 bits
    return digits.map((number, row) => (room ? rank[letters[row]] * room + number : rank[letters[row]]));
  }

  /** Return how far the score of a row is beyond both thresholds, in log-odds: negative between. */
  function certainty() {
    const odds = (share) => {
      const inside = Math.min(1 - 1e-6, Math.max(1e-6, share));
      return Math.log(inside / (1 - inside));
    };
    const [low, high] = (data.thresholds ?? [0.5, 0.5]).map(odds);
    return (score) => Math.max(low - odds(score / 1e6), odds(score / 1e6) - high);
  }

  /** Return a whole number, 0 or more, for each row to sort by, the least first. */
  function sortKeys(by) {
    const LAST = 2 ** 31 - 1;  // of rows that have nothing to sort by
    const keys = new Float64Array(rows.count);
    const none = new Int8Array(rows.count).fill(-1);
    const column = (name) => rows.column(name) ?? none;
    const score = (make) => {
      const scores = column("score");
      for (let row = 0; row < rows.count; row++) {
        keys[row] = scores[row] < 0 ? LAST : make(scores[row], row);
      }
    };
    const size = (sign) => {
      const [width, height] = [column("width"), column("height")];
      for (let row = 0; row < rows.count; row++) {
        const pixels = width[row] > 0 ? Math.min(width[row] * height[row], LAST) : 0;
        keys[row] = pixels ? (sign < 0 ? LAST - pixels : pixels) : LAST;
      }
    };
    if (by === "artificial") score((value) => 1_000_000 - value);
    else if (by === "real") score((value) => value);
    else if (by === "unsure") {
      const beyond = certainty();
      const first = rows.few.reason.indexOf("unfamiliar");
      const flips = rows.few.reason.indexOf("flips");
      const reasons = rows.column("reason");
      // Scores do not say how sure a verdict is that the score did not make.
      score((value, row) => reasons[row] === first ? 0 : reasons[row] === flips ? 1
        : Math.round(1e6 * (40 + beyond(value))));
    } else if (by === "large") size(-1);
    else if (by === "small") size(1);
    else if (by === "name") return namePlaces();
    return keys;
  }

  /** Sort rows by their keys, rows of the same key by their number. */
  function sorted(found, keys) {
    // Native sorting of numbers takes a tenth of the time of sorting by a function.
    const room = Math.floor(2 ** 53 / rows.count) - 1;
    const pairs = new Float64Array(found.length);
    for (let at = 0; at < found.length; at++) {
      pairs[at] = Math.min(keys[found[at]], room) * rows.count + found[at];
    }
    pairs.sort();
    for (let at = 0; at < found.length; at++) found[at] = pairs[at] % rows.count;
    return found;
  }

  /** Return which codes of a column are chosen, as 1 at the code plus one; null if all are. */
  function facet(column) {
    const chosen = $(`facet-${column}`).querySelectorAll("input:checked");
    if (!chosen.length) return null;
    const codes = new Uint8Array(128);
    for (const box of chosen) codes[Number(box.value) + 1] = 1;
    return codes;
  }

  const codesOf = (column) => (column === "decision" ? decided : rows.column(column));

  function refresh() {
    const facets = FACETS.map((column) => [codesOf(column), facet(column)]).filter(([, chosen]) => chosen);
    const wanted = $("search").value.trim().toLowerCase();
    const named = wanted ? rowsWith(wanted) : null;
    const limit = (id, otherwise, unit) => {
      const value = $(id).valueAsNumber;
      return Number.isNaN(value) ? otherwise : Math.round(value * unit);
    };
    const low = limit("low", 0, 1e6);
    const high = limit("high", 1e6, 1e6);
    const ranged = low > 0 || high < 1e6;
    const least = limit("face-least", 0, 1);
    const most = limit("face-most", Infinity, 1);
    const sideOf = least > 0 || most < Infinity ? faceSides() : null;
    const inFolder = foldersBelow($("folder").value);
    const onlyTicked = $("only-ticked").checked;
    const folder = rows.column("folder");
    const scores = rows.column("score") ?? new Int8Array(rows.count).fill(-1);  // none is negative
    const found = new Int32Array(rows.count);
    const bins = new Int32Array(BINS);
    let length = 0;
    next: for (let row = 0; row < rows.count; row++) {
      if (onlyTicked && !ticked[row]) continue;
      for (const [codes, chosen] of facets) if (!chosen[codes[row] + 1]) continue next;
      if (named && !named[row]) continue;
      if (inFolder && !inFolder[folder[row]]) continue;
      if (sideOf) {
        const side = sideOf(row);
        if (side < 0 || side < least || side > most) continue;
      }
      const score = scores[row];
      if (score >= 0) bins[Math.min(BINS - 1, Math.floor((score / 1e6) * BINS))]++;
      if (ranged && (score < 0 || score < low || score > high)) continue;
      found[length++] = row;
    }
    order = found.slice(0, length);
    const by = $("sort").value;
    if (by !== "order") order = sorted(order, sortKeys(by));
    drawBins(bins, low, high);
    $("shown").textContent = length === rows.count
      ? `${count(length)} rows` : `${count(length)} of ${count(rows.count)} rows`;
    $("nothing").hidden = length > 0;
    $("tick-all").disabled = length === 0;
    current = 0;
    clearTiles();
    layOut();
    // What was searched for comes first: one who has scrolled far would miss it.
    if (list.getBoundingClientRect().top < hidden()) scrollToTile(0);
  }

  /** Return what gives the shorter side in pixels of a row's face, or of the image without one. */
  function faceSides() {
    const [across, down, width, height] = ["face_width", "face_height", "width", "height"].map(
      (name) => rows.column(name) ?? new Int8Array(rows.count).fill(-128));
    return (row) => {
      // What stands for no number is negative, as no side is.
      const face = Math.min(across[row], down[row]);
      return face >= 0 ? face : Math.min(width[row], height[row]);
    };
  }

  /** Return which folders lie below a chosen one, it included, as 1 by their number; null for all. */
  function foldersBelow(chosen) {
    return chosen ? Uint8Array.from(rows.folders, (folder) => Number(folder.startsWith(chosen))) : null;
  }

  function drawBins(bins, low, high) {
    const most = Math.log1p(Math.max(1, ...bins));
    const SVG = "http://www.w3.org/2000/svg";
    $("bars").replaceChildren(...[...bins].map((number, at) => {
      const bar = document.createElementNS(SVG, "rect");
      const height = number ? Math.max(1, (24 * Math.log1p(number)) / most) : 0;
      const inside = ((at + 1) / BINS) * 1e6 > low && (at / BINS) * 1e6 <= high;
      for (const [name, value] of Object.entries({
        x: at + 0.1, width: 0.8, y: 24 - height, height, class: inside ? "in" : "out",
      })) bar.setAttribute(name, value);
      return bar;
    }));
  }

  // ---- ticks ----

  function tick(row, on) {
    if (Boolean(ticked[row]) === on) return;
    ticked[row] = on ? 1 : 0;
    tickedCount += on ? 1 : -1;
  }

  /** Show what is ticked on the tiles, in the dialog and in words. */
  function showTicks() {
    for (const tile of tiles.values()) markTile(tile);
    $("ticked").textContent = `${count(tickedCount)} ticked`;
    $("untick").disabled = $("export").disabled = $("bulk").disabled = tickedCount === 0;
    if ($("large").open) $("large-tick").checked = Boolean(ticked[order[opened]]);
  }

  let lastTicked = null;

  /** Tick the tile at a place; with shift also all between it and the one ticked before. */
  function tickAt(place, on, shift) {
    const from = shift && lastTicked != null ? Math.min(lastTicked, order.length - 1) : place;
    for (let at = Math.min(from, place); at <= Math.max(from, place); at++) tick(order[at], on);
    lastTicked = place;
    showTicks();
  }

  /** Return the ticked rows as the CSV of a scan, names made safe for spreadsheets. */
  function selection() {
    const { millionths } = rows;
    const cell = (column, row) => {
      if (column === "path") return csvCell(safeCell(pathOf(row)));
      if (column in rows.texts) return csvCell(safeText(textOf(column, row)));
      if (column in rows.few) return wordOf(column, row);
      const value = numberOf(column, row);
      return value == null ? "" : millionths.has(column) ? inUnits(value, 6) : String(value);
    };
    const lines = [rows.order.join(",")];
    for (let row = 0; row < rows.count; row++) {
      if (ticked[row]) lines.push(rows.order.map((column) => cell(column, row)).join(","));
    }
    return lines.join("\n") + "\n";
  }

  // ---- decisions ----

  const decisions = new Decisions({
    store: data.live ? new ServerStore("decisions") : new BrowserStore(data.identity),
    describe(row) {
      // Results of a row for each face: the decision is about that face of its file.
      const [first, last] = data.perFace ? rows.ofFile(row) : [row, row];
      const face = data.perFace ? numberOf("face", row) : null;
      return { path: pathOf(row), sha256: "", face: face ?? "", faces: face == null ? "" : last - first + 1 };
    },
    changed(changed) {
      for (const row of changed) decided[row] = codeOf(row);
      showDecisions();
    },
    failed(words) {
      $("trouble").textContent = words;
      $("trouble").hidden = !words;
    },
  });

  const claimOf = (row) => ({ verdict: wordOf("verdict", row), kind: wordOf("kind", row) });

  /** Return the place in DECIDED of what was decided of a row. */
  function codeOf(row) {
    const own = decisions.get(row);
    if (!own) return -1;
    if (own.verdict === "uncertain") return 2;
    const claim = claimOf(row);
    return own.verdict === claim.verdict && (!own.kind || own.kind === claim.kind) ? 0 : 1;
  }

  const decides = (key) => /^[1-9adu]$/i.test(key);
  /** Whether the next row comes after a key: where it decided something. */
  const movesOn = (key, row) => decides(key) && decisionOfKey(key, claimOf(row), rows.few.kind);

  /** Decide rows by a key; return whether it was one that decides. */
  function decideBy(key, chosen) {
    const some = [...chosen];
    if (key === "x" || key === "X") decisions.decide(some, () => undefined);
    else if (decides(key)) {
      decisions.decide(some, (row) => decisionOfKey(key, claimOf(row), rows.few.kind));
    } else return false;
    return true;
  }

  /** Decide one row by a key, and say what became of it. */
  function decideOne(key, row) {
    if (!decideBy(key, [row])) return false;
    const own = decisions.get(row);
    if (decides(key) && !decisionOfKey(key, claimOf(row), rows.few.kind)) {
      say("No verdict to agree with: name the kind, 1 to 7, or U if you cannot tell.");
      return true;
    }
    if (own) say(`${rows.names[row]}: ${own.verdict}${own.kind ? `, ${own.kind}` : ""}`);
    else say(`${rows.names[row]}: not decided`);
    return true;
  }

  function say(words) {
    $("said").textContent = $("large-said").textContent = words;
  }

  /** Show what is decided on the tiles, in the dialog and in words. */
  function showDecisions() {
    for (const tile of tiles.values()) markTile(tile);
    $("decided").textContent = `${count(decisions.size)} decided`;
    $("corrections").disabled = decisions.size === 0;
    $("undo").disabled = !decisions.canUndo;
    countFacet("decision");
    if ($("large").open) showChoice(order[opened]);
  }

  function undo() {
    const back = decisions.undo();
    if (back) say(`Taken back: ${count(back.length)} ${back.length === 1 ? "decision" : "decisions"}`);
    return back;
  }

  function decidedMark(row) {
    const own = decisions.get(row);
    if (!own) return "";
    const code = DECIDED[decided[row]];
    const sign = { agreed: "\u2713", disagreed: "\u2717", "cannot tell": "?" }[code];
    const word = own.verdict === "uncertain" ? "cannot tell" : own.kind || own.verdict;
    return el("span", { class: `decided ${code.split(" ")[0]}` }, `${sign} ${word}`);
  }

  // ---- tiles ----

  const list = $("faces");
  const tiles = new Map();
  let columns = 1;
  let side = 140;
  let tileHeight = 190;
  let current = 0;

  const lines = () => Math.ceil(order.length / columns);
  const fullHeight = () => lines() * tileHeight;
  const ownHeight = () => Math.min(fullHeight(), TALLEST);
  /** Pixels of the full list that a pixel of scrolling passes. */
  const pace = () => {
    const room = ownHeight() - innerHeight;
    return fullHeight() > TALLEST && room > 0 ? (fullHeight() - innerHeight) / room : 1;
  };

  /** Return where in the full list the window's top is, so many pixels below the list's own. */
  function offsetAt(scrolled) {
    const room = Math.max(0, ownHeight() - innerHeight);
    // Below the list's end, where the page continues, a pixel is a pixel.
    return Math.min(scrolled, room) * pace() + Math.max(0, scrolled - room);
  }

  function layOut() {
    const width = list.clientWidth;
    columns = Math.max(2, Math.floor((width + 10) / (width < 480 ? 112 : 150)));
    side = Math.floor((width - 10 * (columns - 1)) / columns);
    tileHeight = side + TEXT + 10;
    list.style.height = `${ownHeight()}px`;
    list.style.setProperty("--side", `${side}px`);
    draw();
  }

  function clearTiles() {
    for (const tile of tiles.values()) tile.remove();
    tiles.clear();
  }

  function draw() {
    const scrolled = Math.max(0, -list.getBoundingClientRect().top);
    const offset = offsetAt(scrolled);
    const first = Math.max(0, Math.floor(offset / tileHeight) - NEAR) * columns;
    const last = Math.min(
      order.length, (Math.ceil((offset + innerHeight) / tileHeight) + NEAR) * columns);
    for (const [place, tile] of tiles) {
      // The one that the Tab key leads to stays, wherever the window is.
      const keeps = place === current || tile.contains(document.activeElement);
      if ((place < first || place >= last) && !keeps) {
        tile.remove();
        tiles.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (!tiles.has(place)) addTile(place);
    }
    if (current < order.length && !tiles.has(current)) addTile(current);
    for (const [place, tile] of tiles) {
      const away = place < first || place >= last;
      const at = Math.round(Math.floor(place / columns) * tileHeight - offset + scrolled);
      // Where a pixel scrolls several, its place may be far beyond the page's end.
      const top = away ? Math.max(0, Math.min(at, ownHeight() - tileHeight)) : at;
      tile.classList.toggle("away", away);
      const moved = `translate(${(place % columns) * (side + 10)}px, ${top}px)`;
      if (tile.moved !== moved) tile.style.transform = tile.moved = moved;
    }
  }

  function addTile(place) {
    const row = order[place];
    const verdict = wordOf("verdict", row);
    const reason = wordOf("reason", row);
    const score = scoreOf(row);
    const name = rows.names[row];
    const told = verdict || labelOf(wordOf("status", row));
    const words = [
      name, told, score == null ? "" : `score ${inUnits(score, 3)}`, wordOf("kind", row), labelOf(reason),
    ].filter(Boolean);
    const picture = hasThumbnail(row)
      ? el("img", { src: pictureOf("thumbs", row), alt: "", decoding: "async", onerror: (event) =>
          event.target.replaceWith(placeholder(row)) })
      : placeholder(row);
    const tile = el("li", { class: "tile", "aria-setsize": order.length, "aria-posinset": place + 1 },
      el("button", {
        type: "button", class: "open", tabindex: place === current ? 0 : -1,
        "data-place": place, title: pathOf(row),
      },
        el("span", { class: "picture" }, picture, el("span", { class: "choice" })),
        el("span", { class: "line" },
          el("span", { class: `mark ${OWN.verdict}${verdict || "none"}` }),
          el("b", {}, score == null ? told : inUnits(score, 3)),
          reason ? el("span", { class: "reason" }, SHORT[reason] ?? reason)
            : el("span", { class: "kind" }, wordOf("kind", row))),
        el("span", { class: "name" }, name)),
      el("input", {
        type: "checkbox", tabindex: -1, "aria-label": `Tick ${name}`, "data-place": place,
      }));
    tile.dataset.row = row;
    tile.words = words.join(", ");
    markTile(tile);
    tiles.set(place, tile);
    list.append(tile);
  }

  function placeholder(row) {
    const status = wordOf("status", row);
    const words = status === "error" ? "error"
      : data.live ? "cannot be shown" : row >= data.thumbnails ? "no thumbnail made" : "file not found";
    return el("span", { class: "blank" }, words);
  }

  function markTile(tile) {
    const row = Number(tile.dataset.row);
    const on = Boolean(ticked[row]);
    tile.classList.toggle("ticked", on);
    tile.querySelector("input").checked = on;
    const mark = decidedMark(row);
    tile.querySelector(".choice").replaceChildren(mark);
    const said = mark && `, decided: ${mark.textContent.slice(2)}`;
    tile.querySelector(".open").setAttribute("aria-label", tile.words + said);
  }

  /** Move the focus to the tile at a place, and scroll so that it can be seen. */
  function focusTile(place) {
    const before = tiles.get(current)?.querySelector(".open");
    if (before) before.tabIndex = -1;
    current = Math.max(0, Math.min(order.length - 1, place));
    scrollToTile(current);
    draw();
    const button = tiles.get(current)?.querySelector(".open");
    if (!button) return;
    button.tabIndex = 0;
    button.focus({ preventScroll: true });
    draw();
  }

  /** Return how many pixels at the top of the window the bars cover. */
  function hidden() {
    const strip = $("strip");
    const { position, top } = getComputedStyle(strip);
    return parseFloat(top) + (position === "sticky" ? strip.offsetHeight : 0);
  }

  function scrollToTile(place) {
    const head = hidden();
    const top = list.getBoundingClientRect().top + scrollY;
    const position = scrollY - top;
    const offset = position > 0 ? offsetAt(position) : position;
    const start = Math.floor(place / columns) * tileHeight;
    const end = start + tileHeight;
    let target = null;
    if (start < offset + head) target = start - head;
    else if (end > offset + innerHeight) target = end - innerHeight;
    if (target != null) {
      scrollTo({ top: top + (target > 0 ? target / pace() : target), behavior: "instant" });
    }
  }

  // ---- one face, large ----

  let opened = 0;
  const dialog = $("large");

  const FACE = /^#face-(\d+)$/;

  /** Open the row at a place; the browser's back button closes it again. */
  function open(place) {
    opened = place;
    const address = `#face-${order[place] + 1}`;
    if (dialog.open) history.replaceState({ face: true }, "", address);
    else history.pushState({ face: true }, "", address);
    show();
  }

  function show() {
    const wasOpen = dialog.open;
    showLarge();
    if (!wasOpen) dialog.showModal();
    // Not its first button, which Enter would press; and not nowhere, where a button was.
    if (!dialog.contains(document.activeElement) || !wasOpen) dialog.focus();
    showTicks();
  }

  /** Close the dialog; what opened it is taken from the browser's history. */
  function shut() {
    dialog.close();
    if (history.state?.face) history.back();
  }

  /** Show what the address names: after the back button, or where somebody has sent it. */
  function follow() {
    const row = Number(FACE.exec(location.hash)?.[1] ?? 0) - 1;
    if (row < 0 || row >= rows.count) {
      if (dialog.open) dialog.close();
      return;
    }
    opened = order.indexOf(row);
    if (opened < 0) {
      $("form").reset();
      refresh();
      opened = order.indexOf(row);
    }
    show();
  }

  function step(by) {
    const place = opened + by;
    if (place >= 0 && place < order.length) open(place);
  }

  function showLarge() {
    const row = order[opened];
    const verdict = wordOf("verdict", row);
    const score = scoreOf(row);
    $("large-name").textContent = rows.names[row];
    $("large-folder").textContent = rows.folder(row);
    $("large-verdict").replaceChildren(
      el("span", { class: `mark ${OWN.verdict}${verdict || "none"}` }),
      el("b", {}, verdict || labelOf(wordOf("status", row))),
      score == null ? "" : ` score ${inUnits(score, 4)}`);
    const reason = wordOf("reason", row);
    $("large-message").replaceChildren(
      ...(reason ? [el("b", {}, labelOf(reason)), ": "] : []), textOf("message", row));
    $("large-message").hidden = !textOf("message", row);
    $("large-place").textContent = `${count(opened + 1)} of ${count(order.length)}`;
    $("previous").disabled = opened === 0;
    $("next").disabled = opened === order.length - 1;
    $("heat-box").hidden = !heated.has(row);
    showChoice(row);
    showFaces(row);
    showKinds(row);
    showFacts(row);
    showPicture(row);
  }

  /** Show what is decided of a row on the buttons that decide. */
  function showChoice(row) {
    const own = decisions.get(row);
    const claim = claimOf(row);
    const same = (one) => Boolean(own && one && own.verdict === one.verdict && own.kind === one.kind);
    for (const button of $("choices").querySelectorAll("[data-key]")) {
      const { key } = button.dataset;
      const one = decisionOfKey(key, claim, rows.few.kind);
      button.disabled = key === "x" ? !own : !one;
      if (key !== "x") button.setAttribute("aria-pressed", same(one));
    }
    $("note").disabled = !own;
    if (document.activeElement !== $("note")) $("note").value = own?.note ?? "";
    $("signed").textContent = own ? [own.by, own.at.replace("T", " ").replace("Z", " UTC")].filter(Boolean).join(", ") : "";
  }

  /** Show the faces of a group picture in order, where each has a row. */
  function showFaces(row) {
    const [first, last] = rows.ofFile(row);
    const all = Array.from({ length: last - first + 1 }, (_, at) => first + at);
    $("large-faces").hidden = all.length < 2;
    $("large-faces").replaceChildren(...(all.length < 2 ? [] : all).map((one) => {
      const verdict = wordOf("verdict", one);
      const own = decidedMark(one);
      return el("button", {
        type: "button", "data-row": one, "aria-pressed": one === row,
        title: `Face ${numberOf("face", one)}: ${verdict}`,
      }, el("span", { class: `mark ${OWN.verdict}${verdict || "none"}` }),
        `Face ${numberOf("face", one) ?? one - first + 1}`, own && el("small", {}, own.textContent));
    }));
  }

  function showKinds(row) {
    const SVG = "http://www.w3.org/2000/svg";
    $("large-kinds").tBodies[0].replaceChildren(...rows.few.kind.flatMap((kind) => {
      const share = numberOf(`p_${kind}`, row);
      if (share == null) return [];
      const bar = document.createElementNS(SVG, "svg");
      const fill = document.createElementNS(SVG, "rect");
      bar.setAttribute("aria-hidden", "true");
      fill.setAttribute("width", `${share / 1e4}%`);
      fill.setAttribute("height", "100%");
      fill.setAttribute("class", `fill ${OWN.kind}${kind}`);
      bar.append(fill);
      return [el("tr", {}, el("th", { scope: "row" }, kind), el("td", { class: "bar" }, bar),
        el("td", { class: "num" }, inUnits(share, 4)))];
    }));
  }

  function showFacts(row) {
    const whole = (column) => numberOf(column, row);
    const box = ["face_left", "face_top", "face_width", "face_height"].map(whole);
    const spread = numberOf("spread", row);
    const sure = numberOf("face_confidence", row);
    const facts = [
      ["Status", labelOf(wordOf("status", row))],
      ["Kind", wordOf("kind", row)],
      ["Basis", wordOf("basis", row)],
      ["Provenance", textOf("provenance", row).replaceAll(";", ", ")],
      ["Generator", textOf("generator", row)],
      ["Size", whole("width") == null ? null : `${whole("width")} × ${whole("height")} px`],
      ["Faces", whole("faces")],
      ["Face", box[0] == null ? null
        : `${box[2]} × ${box[3]} px at ${box[0]}, ${box[1]}, confidence ${inUnits(sure, 3)}`],
      ["Spread", spread == null ? null : inUnits(spread, 4)],
      ["Row", count(row + 1)],
    ];
    $("large-facts").replaceChildren(...facts
      .filter(([, value]) => value != null && value !== "")
      .map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, String(value)))));
  }

  /** Return in words which part of the picture was classified. */
  function viewOf(row) {
    const [view, face, faces] = [wordOf("view", row), numberOf("face", row), numberOf("faces", row)];
    const of = faces > 1 ? `face ${face} of ${faces}` : "the face";
    if (view === "face") return `Classified: the square around ${of}, whose box is drawn.`;
    if (view === "whole" && face != null) return "Classified: the whole image, a crop of the face in the box.";
    const none = faces === 0 ? "; no face was found in it" : faces == null ? "; faces were not searched for" : "";
    if (view === "whole") return `Classified: the whole image${none}.`;
    return face == null ? "Nothing was classified." : "Not classified: the box is the largest face.";
  }

  /** Show the file itself, else its thumbnail; and the face's box where it can be drawn. */
  function showPicture(row) {
    $("large-view").textContent = viewOf(row);
    const sources = [];
    if (heated.has(row) && $("heat").checked) {
      sources.push([pictureOf("heat", row), "The heat map: what counted for the verdict."]);
    } else {
      // What had no thumbnail is gone, changed or damaged: it is not tried again.
      if (fileOf(row) && !missing.has(row)) sources.push([fileOf(row), ""]);
      if (hasThumbnail(row)) {
        sources.push([pictureOf("thumbs", row),
          "This is the thumbnail: the file is not where it was, or not of a kind that browsers show."]);
      }
    }
    const tryNext = () => {
      if (order[opened] !== row) return;
      const next = sources.shift();
      if (!next) {
        $("stage").replaceChildren(placeholder(row));
        $("large-note").textContent = "";
        return;
      }
      const [address, note] = next;
      const image = el("img", { alt: `The image ${rows.names[row]}` });
      image.addEventListener("error", tryNext);
      image.addEventListener("load", () => {
        if (order[opened] !== row) return;
        const framed = el("div", { class: "frame" }, image);
        if (note === "") framed.append(...boxOf(row, image));
        fit(framed, image.naturalWidth, image.naturalHeight);
        $("stage").replaceChildren(framed);
        $("large-note").textContent = note;
      });
      image.src = address;
    };
    tryNext();
  }

  /** Return the boxes of the faces of a file that have rows, the row's own marked. */
  function boxOf(row, image) {
    const [across, down] = [numberOf("width", row), numberOf("height", row)];
    const same = image.naturalWidth === across && image.naturalHeight === down;
    // What a server sends is made smaller; it has made sure that it is the same picture.
    if (across == null || !(same || data.live)) return [];
    const [first, last] = rows.ofFile(row);
    const made = [];
    for (let one = first; one <= last; one++) if (one !== row) made.push(...boxOfFace(one, across, down, false));
    return [...made, ...boxOfFace(row, across, down, true)];
  }

  function boxOfFace(row, across, down, own) {
    const [left, top, width, height] =
      ["face_left", "face_top", "face_width", "face_height"].map((column) => numberOf(column, row));
    if (left == null) return [];
    const SVG = "http://www.w3.org/2000/svg";
    const overlay = document.createElementNS(SVG, "svg");
    overlay.setAttribute("viewBox", `0 0 ${across} ${down}`);
    overlay.setAttribute("preserveAspectRatio", "none");
    overlay.setAttribute("aria-hidden", "true");
    for (const name of own ? ["under", "over"] : ["under", "other"]) {
      const rect = document.createElementNS(SVG, "rect");
      for (const [key, value] of Object.entries({ x: left, y: top, width, height, class: name })) {
        rect.setAttribute(key, value);
      }
      overlay.append(rect);
    }
    const number = el("span", { class: own ? "number own" : "number" }, numberOf("face", row) ?? "");
    number.style.left = `${(100 * left) / across}%`;
    number.style.top = `${(100 * top) / down}%`;
    return numberOf("faces", row) > 1 ? [overlay, number] : [overlay];
  }

  /** Give a picture its size on the stage: as large as there is room, at most eight times its own. */
  function fit(framed, width, height) {
    const room = $("stage").getBoundingClientRect();
    const scale = Math.min(8, room.width / width, Math.max(160, room.height) / height);
    framed.style.width = `${Math.floor(width * scale)}px`;
    framed.style.height = `${Math.floor(height * scale)}px`;
  }

  // ---- wiring ----

  const wordsOf = (column) => (column === "decision" ? DECIDED : rows.few[column]);
  const NONE = { decision: "not decided", reason: "no reason", kind: "none", verdict: "none", status: "none" };

  /** Make the boxes of each facet, once for each word that there is, and count. */
  function buildFacets() {
    FACETS.forEach(countFacet);
    // Most scans have nothing known or marked, and then there is nothing to choose.
    $("facet-reason").hidden = !$("facet-reason").querySelector("[data-word]:not([data-word='no reason'])");
    buildFolders();
  }

  function countFacet(column) {
    const codes = codesOf(column);
    const totals = new Uint32Array(128);
    if (codes) for (let row = 0; row < rows.count; row++) totals[codes[row] + 1]++;
    else totals[0] = rows.count;
    const box = $(`facet-${column}`);
    [...wordsOf(column), NONE[column]].forEach((word, at, words) => {
      const code = at === words.length - 1 ? -1 : at;
      const total = totals[code + 1];
      const there = box.querySelector(`[data-word="${word}"]`);
      if (there) there.closest("label").querySelector(".count").textContent = count(total);
      else if (total) {
        const chip = el("label", { class: "chip" },
          el("input", { type: "checkbox", value: code, "data-word": word }),
          OWN[column] ? el("span", { class: `mark ${OWN[column]}${word}` }) : "",
          el("span", {}, labelOf(word)),
          el("span", { class: "count" }, count(total)));
        const later = [...box.querySelectorAll("input")].find((one) => code >= 0 &&
          (Number(one.value) > code || one.value === "-1"));
        box.insertBefore(chip, later?.closest("label") ?? null);
      }
    });
  }

  /** Offer the folders, those above them included, the outermost first if there are too many. */
  function buildFolders() {
    const totals = new Float64Array(rows.folders.length);
    for (const folder of rows.column("folder") ?? []) totals[folder]++;
    const below = new Map();
    rows.folders.forEach((folder, at) => {
      for (let end = folder.indexOf("/") + 1; end > 0; end = folder.indexOf("/", end) + 1) {
        const outer = folder.slice(0, end);
        below.set(outer, (below.get(outer) ?? 0) + totals[at]);
        if (end === folder.length) break;
      }
      if (folder && !folder.endsWith("/")) below.set(folder, (below.get(folder) ?? 0) + totals[at]);
    });
    // One that all rows are in, or that holds no more than the one within it, says nothing.
    const depth = (folder) => folder.split("/").length;
    const useful = [...below].filter(([, total]) => total < rows.count)
      .sort(([a], [b]) => depth(a) - depth(b)).slice(0, MOST_FOLDERS)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const chosen = $("folder").value;
    $("folder-field").hidden = useful.length === 0;
    $("folder").replaceChildren(el("option", { value: "" }, "all folders"),
      ...useful.map(([folder, total]) => el("option", { value: folder }, `${folder} (${count(total)})`)));
    $("folder").value = chosen;
  }

  /** Return what does the work once before the next frame, however often it is called. */
  function soon(work) {
    let asked = 0;
    return () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(work);
    };
  }

  if (matchMedia("(max-width: 820px)").matches) $("filters").open = false;
  $("form").addEventListener("input", soon(refresh));
  $("form").addEventListener("submit", (event) => event.preventDefault());
  $("form").addEventListener("reset", () => setTimeout(refresh));
  addEventListener("scroll", soon(draw), { passive: true });

  list.addEventListener("click", (event) => {
    const place = Number(event.target.closest("[data-place]")?.dataset.place ?? -1);
    if (place < 0) return;
    if (event.target.matches("input")) tickAt(place, event.target.checked, event.shiftKey);
    else {
      focusTile(place);
      open(place);
    }
  });
  list.addEventListener("keydown", (event) => {
    if (!event.target.matches(".open") || event.ctrlKey || event.metaKey || event.altKey) return;
    const screen = Math.max(1, Math.floor(innerHeight / tileHeight) - 1) * columns;
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns,
      PageUp: -screen, PageDown: screen, Home: -Infinity, End: Infinity,
    };
    if (event.key in moves) focusTile(current + moves[event.key]);
    else if (event.key === " ") tickAt(current, !ticked[order[current]], event.shiftKey);
    else if (event.key === "z") undo();
    else if (!decideOne(event.key, order[current])) return;
    else if (movesOn(event.key, order[current])) focusTile(current + 1);
    event.preventDefault();
  });
  list.addEventListener("focusin", (event) => {
    const away = event.target.closest(".away");
    if (away) focusTile(Number(event.target.dataset.place));
  });
  list.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target.matches(".open")) event.preventDefault();
  });

  $("tick-all").addEventListener("click", () => {
    for (const row of order) tick(row, true);
    showTicks();
  });
  $("untick").addEventListener("click", () => {
    for (let row = 0; row < rows.count; row++) tick(row, false);
    if ($("only-ticked").checked) refresh();
    showTicks();
  });
  $("export").addEventListener("click", () => download("selection.csv", selection()));

  $("bulk").addEventListener("change", (event) => {
    const chosen = [];
    for (let row = 0; row < rows.count; row++) if (ticked[row]) chosen.push(row);
    decideBy(event.target.value, chosen);
    say(`Decided: ${count(chosen.length)} ticked rows`);
    event.target.value = "";
  });
  $("undo").addEventListener("click", undo);
  $("by").value = decisions.by;
  $("by").addEventListener("input", (event) => decisions.signedBy(event.target.value));
  $("corrections").addEventListener("click", async () => {
    if (!data.live) {
      download("corrections.csv", decisions.csv());
      return;
    }
    // The server's own knows the sha256 of each file.
    await decisions.saved();
    location.assign("corrections.csv");
  });
  $("load").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      const [taken, strange] = decisions.read(await file.text(), rows.count, rows.few.kind);
      say(`Loaded ${count(taken)} decisions${strange ? `; ${count(strange)} are of no row here` : ""}`);
    } catch (error) {
      say(error.message);
    }
    event.target.value = "";
  });

  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", shut);
  $("heat").addEventListener("change", () => showPicture(order[opened]));
  $("large-tick").addEventListener("change", (event) => {
    tick(order[opened], event.target.checked);
    showTicks();
  });
  $("large-faces").addEventListener("click", (event) => {
    const row = Number(event.target.closest("[data-row]")?.dataset.row ?? -1);
    if (row < 0) return;
    const place = order.indexOf(row);
    if (place >= 0) open(place);
    else say("This face is not among the rows shown: clear the filters to open it.");
  });
  $("choices").addEventListener("click", (event) => {
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (key) choose(key);
  });
  $("note").addEventListener("change", (event) => decisions.note(order[opened], event.target.value));

  /** Decide the row that is open, and open the next one. */
  function choose(key) {
    const row = order[opened];
    if (!decideOne(key, row)) return false;
    if (movesOn(key, row)) step(1);
    return true;
  }

  // At the document: a button that was just pressed may be gone, and the focus with it.
  document.addEventListener("keydown", (event) => {
    if (!dialog.open) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input[type=text]")) {
      if (event.key === "Enter" && event.target === $("note")) {
        $("note").blur();
        dialog.focus();
      }
      return;
    }
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) step(by);
    else if (event.key === "z") undo();
    else if (event.key === "n" && !$("note").disabled) $("note").focus();
    else if (!choose(event.key)) return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) shut();
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    shut();
  });
  dialog.addEventListener("close", () => {
    current = opened;
    if (stale) showMore();
    focusTile(current);
  });
  addEventListener("popstate", follow);

  /** Take up packed rows that have come; what is shown and filtered stays as it is. */
  async function grew(packed) {
    const before = rows.count;
    await rows.add(packed);
    if (rows.count === before) return;
    const more = (array, fill) => {
      const all = new array.constructor(rows.count).fill(fill, array.length);
      all.set(array);
      return all;
    };
    [ticked, decided, searchText, byName] = [more(ticked, 0), more(decided, -1), null, null];
    buildFacets();
  }

  let stale = false;

  /** Take up more rows that have come; a face that is open stays, and they are shown behind it. */
  async function append(packed) {
    await grew(packed);
    await rows.rest;
    if (dialog.open) stale = true;
    else showMore();
  }

  /** Show the rows that have come, without taking the reader to another place. */
  function showMore() {
    stale = false;
    const row = order[current];
    const focused = list.contains(document.activeElement);
    const [at, before] = [scrollY, current];
    refresh();
    scrollTo({ top: at, behavior: "instant" });
    const place = order.indexOf(row);
    current = Math.max(0, Math.min(place < 0 ? before : place, order.length - 1));
    clearTiles();
    draw();
    if (focused) focusTile(current);
  }

  async function start() {
    if (!("DecompressionStream" in window)) {
      $("shown").textContent = "This browser is too old for the gallery: use one of 2023 or later.";
      return;
    }
    await grew(data);
    refresh();
    showTicks();
    await rows.rest;
    new ResizeObserver(soon(layOut)).observe(list.parentElement);
    try {
      await decisions.load();
    } catch (error) {
      $("trouble").textContent = error.message;
      $("trouble").hidden = false;
    }
    showDecisions();
    if (FACE.test(location.hash)) follow();
    document.documentElement.dataset.ready = "true";
  }

  return { ready: start(), rows, decisions, append, say };
})();
