"use strict";

/*
 * The gallery of a scan's report. Rows are columns of the page's data (scan_report.py,
 * _page_data); a row is known by its number. Only the tiles in and near the window are elements,
 * so a hundred thousand rows scroll as a hundred do.
 */
(() => {
  const data = pageData();
  const $ = (id) => document.getElementById(id);
  const LABELS = { no_face: "no face", too_small: "too small" };
  const OWN = { verdict: "verdict-", kind: "kind-" };
  const FACETS = ["verdict", "kind", "basis", "status"];
  const BINS = 40;
  /** Rows of tiles that are kept above and below the window. */
  const NEAR = 3;
  /** Browsers stop at heights of 17 to 33 million pixels; beyond this a pixel scrolls several. */
  const TALLEST = 12e6;
  /** Height of a tile's text, as gallery.css has it. */
  const TEXT = 46;

  // ---- rows ----

  const missing = new Set(data.missing);
  const heated = new Set(data.heat);
  const ticked = new Uint8Array(data.rows);
  let tickedCount = 0;

  const pathOf = (row) => data.folders[data.folder[row]] + data.name[row];
  const wordOf = (column, row) => data.few[column][data[column][row]] ?? "";
  const textOf = (column, row) => data.texts[column][data[column][row]];
  const labelOf = (word) => LABELS[word] ?? word;
  /** What a verdict rests on where that is not the pixels, which is the rule. */
  const otherBasis = (row) => (wordOf("basis", row) === "pixels" ? "" : wordOf("basis", row));
  const numberOf = (column, row) => (data[column] ? data[column][row] : null);
  const scoreOf = (row) => numberOf("score", row);
  const inUnits = (millionths, digits) => (millionths / 1e6).toFixed(digits);
  const count = (number) => number.toLocaleString("en");
  const pictureOf = (folder, row) => {
    const name = String(row).padStart(6, "0");
    return `${folder}/${String(Math.floor(row / 1000)).padStart(3, "0")}/${name}.webp`;
  };
  const hasThumbnail = (row) => row < data.thumbnails && !missing.has(row);

  /** Return the address of a row's own file, or null for what is in an archive or a store. */
  function fileOf(row) {
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
  let lowerCased = null;
  let byName = null;

  function lowered() {
    lowerCased ??= Array.from({ length: data.rows }, (_, row) => pathOf(row).toLowerCase());
    return lowerCased;
  }

  /** Return each row's place among the names in their order. */
  function namePlaces() {
    if (!byName) {
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      const folders = data.folders.map((_, at) => at).sort((a, b) => compare(data.folders[a], data.folders[b]));
      const folderPlace = new Int32Array(folders.length);
      folders.forEach((folder, place) => (folderPlace[folder] = place));
      const rows = Array.from({ length: data.rows }, (_, row) => row).sort(
        (a, b) => compare(data.name[a], data.name[b]) ||
          folderPlace[data.folder[a]] - folderPlace[data.folder[b]] || a - b);
      byName = new Int32Array(data.rows);
      rows.forEach((row, place) => (byName[row] = place));
    }
    return byName;
  }

  /** Return a number for each row to sort by, the least first; rows without one come last. */
  function sortKeys(by) {
    const keys = new Float64Array(data.rows);
    const score = (make) => {
      for (let row = 0; row < data.rows; row++) {
        const value = scoreOf(row);
        keys[row] = value == null ? Infinity : make(value);
      }
    };
    const size = (sign) => {
      for (let row = 0; row < data.rows; row++) {
        const pixels = (numberOf("width", row) ?? 0) * (numberOf("height", row) ?? 0);
        keys[row] = pixels ? sign * pixels : Infinity;
      }
    };
    if (by === "artificial") score((value) => -value);
    else if (by === "real") score((value) => value);
    else if (by === "unsure") score((value) => Math.abs(value - 500_000));
    else if (by === "large") size(-1);
    else if (by === "small") size(1);
    else if (by === "name") return namePlaces();
    return keys;
  }

  function facet(column) {
    const boxes = [...$(`facet-${column}`).querySelectorAll("input")];
    const chosen = boxes.filter((box) => box.checked).map((box) => Number(box.value));
    return chosen.length ? new Set(chosen) : null;
  }

  function refresh() {
    const facets = FACETS
      .map((column) => [data[column], facet(column)])
      .filter(([, chosen]) => chosen);
    const wanted = $("search").value.trim().toLowerCase();
    const names = wanted ? lowered() : null;
    const limit = (id, otherwise) => {
      const value = $(id).valueAsNumber;
      return Number.isNaN(value) ? otherwise : Math.round(value * 1e6);
    };
    const low = limit("low", 0);
    const high = limit("high", 1e6);
    const ranged = low > 0 || high < 1e6;
    const onlyTicked = $("only-ticked").checked;
    const found = new Int32Array(data.rows);
    const bins = new Int32Array(BINS);
    let length = 0;
    for (let row = 0; row < data.rows; row++) {
      if (onlyTicked && !ticked[row]) continue;
      if (!facets.every(([codes, chosen]) => chosen.has(codes[row]))) continue;
      if (names && !names[row].includes(wanted)) continue;
      const score = scoreOf(row);
      if (score != null) bins[Math.min(BINS - 1, Math.floor((score / 1e6) * BINS))]++;
      if (ranged && (score == null || score < low || score > high)) continue;
      found[length++] = row;
    }
    order = found.slice(0, length);
    const by = $("sort").value;
    if (by !== "order") {
      const keys = sortKeys(by);
      order.sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b));
    }
    drawBins(bins, low, high);
    $("shown").textContent = length === data.rows
      ? `${count(length)} rows` : `${count(length)} of ${count(data.rows)} rows`;
    $("nothing").hidden = length > 0;
    $("tick-all").disabled = length === 0;
    current = 0;
    clearTiles();
    layOut();
    // What is looked for comes first: one who has scrolled far would miss it.
    if (list.getBoundingClientRect().top < hidden()) scrollToTile(0);
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
    $("untick").disabled = $("export").disabled = tickedCount === 0;
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
    const millionths = new Set(data.millionths);
    const cell = (column, row) => {
      if (column === "path") return csvCell(safeCell(pathOf(row)));
      if (column in data.texts) return csvCell(safeText(textOf(column, row)));
      if (column in data.few) return wordOf(column, row);
      const value = numberOf(column, row);
      return value == null ? "" : millionths.has(column) ? inUnits(value, 6) : String(value);
    };
    const lines = [data.columns.join(",")];
    for (let row = 0; row < data.rows; row++) {
      if (ticked[row]) lines.push(data.columns.map((column) => cell(column, row)).join(","));
    }
    return lines.join("\n") + "\n";
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
      const keeps = tile.contains(document.activeElement);
      if ((place < first || place >= last) && !keeps) {
        tile.remove();
        tiles.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (!tiles.has(place)) addTile(place);
    }
    for (const [place, tile] of tiles) {
      const top = Math.round(Math.floor(place / columns) * tileHeight - offset + scrolled);
      const moved = `translate(${(place % columns) * (side + 10)}px, ${top}px)`;
      if (tile.moved !== moved) tile.style.transform = tile.moved = moved;
    }
  }

  function addTile(place) {
    const row = order[place];
    const verdict = wordOf("verdict", row);
    const score = scoreOf(row);
    const name = data.name[row];
    const told = verdict || labelOf(wordOf("status", row));
    const words = [
      name, told, score == null ? "" : `score ${inUnits(score, 3)}`, wordOf("kind", row),
      otherBasis(row),
    ].filter(Boolean);
    const picture = hasThumbnail(row)
      ? el("img", { src: pictureOf("thumbs", row), alt: "", decoding: "async", onerror: (event) =>
          event.target.replaceWith(placeholder(row)) })
      : placeholder(row);
    const tile = el("li", { class: "tile", "aria-setsize": order.length, "aria-posinset": place + 1 },
      el("button", {
        type: "button", class: "open", tabindex: place === current ? 0 : -1,
        "data-place": place, "aria-label": words.join(", "), title: pathOf(row),
      },
        el("span", { class: "picture" }, picture),
        el("span", { class: "line" },
          el("span", { class: `mark ${OWN.verdict}${verdict || "none"}` }),
          el("b", {}, score == null ? told : inUnits(score, 3)),
          el("span", { class: "kind" }, wordOf("kind", row)),
          otherBasis(row) ? el("span", { class: "basis" }, otherBasis(row)) : ""),
        el("span", { class: "name" }, name)),
      el("input", {
        type: "checkbox", tabindex: -1, "aria-label": `Tick ${name}`, "data-place": place,
      }));
    tile.dataset.row = row;
    markTile(tile);
    tiles.set(place, tile);
    list.append(tile);
  }

  function placeholder(row) {
    const status = wordOf("status", row);
    const words = status === "error" ? "error"
      : row >= data.thumbnails ? "no thumbnail made" : "file not found";
    return el("span", { class: "blank" }, words);
  }

  function markTile(tile) {
    const on = Boolean(ticked[tile.dataset.row]);
    tile.classList.toggle("ticked", on);
    tile.querySelector("input").checked = on;
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
    return parseFloat(getComputedStyle(strip).top) + strip.offsetHeight;
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

  function open(place) {
    opened = place;
    showLarge();
    if (!dialog.open) dialog.showModal();
    showTicks();
  }

  function step(by) {
    const place = opened + by;
    if (place >= 0 && place < order.length) open(place);
  }

  function showLarge() {
    const row = order[opened];
    const verdict = wordOf("verdict", row);
    const score = scoreOf(row);
    $("large-name").textContent = data.name[row];
    $("large-folder").textContent = data.folders[data.folder[row]];
    $("large-verdict").replaceChildren(
      el("span", { class: `mark ${OWN.verdict}${verdict || "none"}` }),
      el("b", {}, verdict || labelOf(wordOf("status", row))),
      score == null ? "" : ` score ${inUnits(score, 4)}`);
    $("large-message").textContent = textOf("message", row);
    $("large-message").hidden = !textOf("message", row);
    $("large-place").textContent = `${count(opened + 1)} of ${count(order.length)}`;
    $("previous").disabled = opened === 0;
    $("next").disabled = opened === order.length - 1;
    $("heat-box").hidden = !heated.has(row);
    showKinds(row);
    showFacts(row);
    showPicture(row);
  }

  function showKinds(row) {
    const SVG = "http://www.w3.org/2000/svg";
    $("large-kinds").tBodies[0].replaceChildren(...data.few.kind.flatMap((kind) => {
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
    const view = { face: "the square around a face", whole: "the image as it is" };
    const box = ["face_left", "face_top", "face_width", "face_height"].map(whole);
    const spread = numberOf("spread", row);
    const sure = numberOf("face_confidence", row);
    const facts = [
      ["Status", labelOf(wordOf("status", row))],
      ["Kind", wordOf("kind", row)],
      ["Basis", wordOf("basis", row)],
      ["Provenance", textOf("provenance", row).replaceAll(";", ", ")],
      ["Generator", textOf("generator", row)],
      ["Classified", view[wordOf("view", row)]],
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

  /** Show the file itself, else its thumbnail; and the face's box where it can be drawn. */
  function showPicture(row) {
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
      const image = el("img", { alt: `The image ${data.name[row]}` });
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

  function boxOf(row, image) {
    const [left, top, width, height, across, down] =
      ["face_left", "face_top", "face_width", "face_height", "width", "height"]
        .map((column) => numberOf(column, row));
    if (left == null || image.naturalWidth !== across || image.naturalHeight !== down) return [];
    const SVG = "http://www.w3.org/2000/svg";
    const overlay = document.createElementNS(SVG, "svg");
    overlay.setAttribute("viewBox", `0 0 ${across} ${down}`);
    overlay.setAttribute("aria-hidden", "true");
    for (const name of ["under", "over"]) {
      const rect = document.createElementNS(SVG, "rect");
      for (const [key, value] of Object.entries({ x: left, y: top, width, height, class: name })) {
        rect.setAttribute(key, value);
      }
      overlay.append(rect);
    }
    return [overlay];
  }

  /** Give a picture its size on the stage: as large as there is room, at most eight times its own. */
  function fit(framed, width, height) {
    const room = $("stage").getBoundingClientRect();
    const scale = Math.min(8, room.width / width, Math.max(160, room.height) / height);
    framed.style.width = `${Math.floor(width * scale)}px`;
    framed.style.height = `${Math.floor(height * scale)}px`;
  }

  // ---- wiring ----

  function buildFacets() {
    for (const column of FACETS) {
      const totals = new Map();
      for (const code of data[column]) totals.set(code, (totals.get(code) ?? 0) + 1);
      // Most scans rest on pixels alone: there is nothing to choose.
      $(`facet-${column}`).hidden = column === "basis" && Math.max(...totals.keys()) < 1;
      const words = [...data.few[column], "none"];
      words.forEach((word, at) => {
        const code = word === "none" ? -1 : at;
        if (!totals.has(code)) return;
        $(`facet-${column}`).append(el("label", { class: "chip" },
          el("input", { type: "checkbox", value: code, "data-word": word }),
          OWN[column] ? el("span", { class: `mark ${OWN[column]}${word}` }) : "",
          el("span", {}, labelOf(word)),
          el("span", { class: "count" }, count(totals.get(code)))));
      });
    }
  }

  /** Return what does the work once before the next frame, however often it is called. */
  function soon(work) {
    let asked = 0;
    return () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(work);
    };
  }

  buildFacets();
  if (matchMedia("(max-width: 820px)").matches) $("filters").open = false;
  $("form").addEventListener("input", soon(refresh));
  $("form").addEventListener("submit", (event) => event.preventDefault());
  $("form").addEventListener("reset", () => setTimeout(refresh));
  addEventListener("scroll", soon(draw), { passive: true });
  new ResizeObserver(soon(layOut)).observe(list.parentElement);

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
    else return;
    event.preventDefault();
  });
  list.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target.matches(".open")) event.preventDefault();
  });

  $("tick-all").addEventListener("click", () => {
    for (const row of order) tick(row, true);
    showTicks();
  });
  $("untick").addEventListener("click", () => {
    for (let row = 0; row < data.rows; row++) tick(row, false);
    if ($("only-ticked").checked) refresh();
    showTicks();
  });
  $("export").addEventListener("click", () => download("selection.csv", selection()));

  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => dialog.close());
  $("heat").addEventListener("change", () => showPicture(order[opened]));
  $("large-tick").addEventListener("change", (event) => {
    tick(order[opened], event.target.checked);
    showTicks();
  });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      step(by);
      event.preventDefault();
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => focusTile(opened));

  refresh();
  showTicks();
})();
