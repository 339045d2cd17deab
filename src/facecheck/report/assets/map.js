"use strict";

/** The map of faces: points on a canvas; the face of the one that is pointed at. */
(() => {
  const data = pageData();
  if (!data || !data.maps) return;
  const $ = (id) => document.getElementById(id);
  const canvas = $("map-canvas"), card = $("map-face"), list = $("map-list");
  const count = data.names.length;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const style = getComputedStyle(document.documentElement);
  const kindColours = data.kinds.map((kind) => style.getPropertyValue(`--kind-${kind}`).trim());
  // Okabe and Ito 2008; more groups than colours take another shape.
  const colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"];
  const right = data.kind.map((kind, at) => (kind === data.predicted[at] ? 0 : 1));
  const groupings = {
    kind: { names: data.kinds, of: data.kind, colour: (group) => kindColours[group] },
    predicted: { names: data.kinds, of: data.predicted, colour: (group) => kindColours[group] },
    source: { names: data.sources, of: data.source, colour: (group) => colours[group % 7], shape: (group) => Math.floor(group / 7) % 3 },
    right: { names: ["right", "wrong"], of: right, colour: (group) => ["#8A8F98", "#D55E00"][group] },
  };

  let hidden = new Set(), shown = [], places = [], current = -1, held = false, frame = 0;
  const grouping = () => groupings[$("map-colour").value];

  function shape(context, x, y, radius, kind) {
    context.beginPath();
    if (kind === 1) context.rect(x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8);
    else if (kind === 2) {
      context.moveTo(x, y - radius * 1.2);
      context.lineTo(x + radius * 1.1, y + radius * 0.9);
      context.lineTo(x - radius * 1.1, y + radius * 0.9);
      context.closePath();
    } else context.arc(x, y, radius, 0, 7);
  }

  /** Fit the canvas to its box, and find where every point lies on it. */
  function lay() {
    const box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1, edge = 14;
    canvas.width = Math.max(1, Math.round(box.width * scale));
    canvas.height = Math.max(1, Math.round(box.height * scale));
    const points = data.maps[$("map-name").value];
    places = Array.from({ length: count }, (_, at) => [
      edge + ((points[2 * at] + 1) / 2) * (box.width - 2 * edge),
      edge + ((1 - points[2 * at + 1]) / 2) * (box.height - 2 * edge),
    ]);
    draw();
    if (current >= 0) show(current);
  }

  function draw() {
    const context = canvas.getContext("2d"), scale = devicePixelRatio || 1, groups = grouping();
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const radius = count > 1000 ? 3 : 4.5;
    context.globalAlpha = 0.8;
    for (const at of shown) {
      const group = groups.of[at];
      context.fillStyle = groups.colour(group);
      shape(context, ...places[at], radius, groups.shape ? groups.shape(group) : 0);
      context.fill();
    }
    context.globalAlpha = 1;
    if (current < 0) return;
    context.lineWidth = 2.5;
    context.strokeStyle = getComputedStyle(document.body).color;
    shape(context, ...places[current], radius + 4, 0);
    context.stroke();
  }

  function filter() {
    const groups = grouping(), wrong = $("map-wrong").checked;
    shown = [];
    for (let at = 0; at < count; at++) if (!hidden.has(groups.of[at]) && (!wrong || right[at])) shown.push(at);
    if (!shown.includes(current)) hide();
    list.replaceChildren(...shown.map((at) => el("option", { value: at, title: data.paths[at] }, `${data.sources[data.source[at]]}: ${data.names[at]}`)));
    $("map-canvas").dataset.shown = shown.length;
    draw();
  }

  function legend() {
    const groups = grouping(), size = new Array(groups.names.length).fill(0);
    for (const group of groups.of) size[group]++;
    hidden = new Set();
    $("map-legend").replaceChildren(...groups.names.map((name, group) => {
      const sign = el("canvas", { width: 24, height: 24, "aria-hidden": "true" });
      const context = sign.getContext("2d");
      context.fillStyle = groups.colour(group);
      shape(context, 12, 12, 9, groups.shape ? groups.shape(group) : 0);
      context.fill();
      const button = el("button", { type: "button", "aria-pressed": "true" }, sign, `${name} ${size[group].toLocaleString("en")}`);
      button.addEventListener("click", () => {
        const off = !hidden.delete(group);
        if (off) hidden.add(group);
        button.setAttribute("aria-pressed", String(!off));
        filter();
      });
      return el("li", {}, button);
    }));
    filter();
  }

  function show(at, speak = false) {
    current = at;
    const sheet = data.sheet, side = data.side, place = at % (sheet * sheet);
    const picture = $("map-picture");
    picture.style.backgroundImage = `url("${data.sheets[Math.floor(at / (sheet * sheet))]}")`;
    picture.style.backgroundPosition = `-${(place % sheet) * side}px -${Math.floor(place / sheet) * side}px`;
    const kind = data.kinds[data.kind[at]], taken = data.kinds[data.predicted[at]];
    const told = [
      right[at] ? `is ${kind} (${percent(data.p_true[at])})\ntaken for ${taken} (${percent(data.p_predicted[at])})` : `${kind} (${percent(data.p_predicted[at])})`,
      `score ${data.score[at].toFixed(3)}, ${data.verdict[at]}`,
      data.sources[data.source[at]],
      data.names[at],
    ].join("\n");
    $("map-told").textContent = told;
    card.hidden = false;
    const [x, y] = places[at], box = canvas.getBoundingClientRect();
    const wide = card.offsetWidth, high = card.offsetHeight;
    // Next to the point; on a narrow page there is room only above or below it.
    const left = x + 16 + wide <= box.width ? x + 16 : x - 16 - wide;
    const top = left >= 0 ? y - 40 : y + 16 + high <= box.height ? y + 16 : y - 16 - high;
    card.style.left = `${left >= 0 ? left : Math.max(0, Math.min(x - wide / 2, box.width - wide))}px`;
    card.style.top = `${Math.max(0, Math.min(top, box.height - high))}px`;
    if (speak) $("map-live").textContent = told;
    draw();
  }

  function hide() {
    current = -1;
    held = false;
    card.hidden = true;
    draw();
  }

  function nearest(x, y, most) {
    let best = -1, least = most * most;
    for (const at of shown) {
      const distance = (places[at][0] - x) ** 2 + (places[at][1] - y) ** 2;
      if (distance < least) [best, least] = [at, distance];
    }
    return best;
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    return nearest(event.clientX - box.left, event.clientY - box.top, event.pointerType === "touch" ? 28 : 14);
  }

  /** Return the nearest shown point in a direction, those straight ahead before those aside. */
  function ahead(dx, dy) {
    const [x, y] = places[current];
    let best = current, least = Infinity;
    for (const at of shown) {
      const along = (places[at][0] - x) * dx + (places[at][1] - y) * dy;
      const aside = Math.abs((places[at][0] - x) * dy) + Math.abs((places[at][1] - y) * dx);
      if (at !== current && along > 0.01 && along + 3 * aside < least) [best, least] = [at, along + 3 * aside];
    }
    return best;
  }

  canvas.addEventListener("pointermove", (event) => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      if (held) return;
      const at = under(event);
      if (at >= 0 && at !== current) show(at);
      else if (at < 0 && current >= 0) hide();
    });
  });
  canvas.addEventListener("pointerleave", () => {
    cancelAnimationFrame(frame);
    if (!held && document.activeElement !== canvas) hide();
  });
  canvas.addEventListener("click", (event) => {
    const at = under(event);
    if (at < 0) hide();
    else {
      held = !(held && at === current);
      show(at, true);
    }
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") hide();
    else if (step && shown.length) {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      held = true;
      show(current < 0 ? nearest(box.width / 2, box.height / 2, Infinity) : ahead(...step), true);
    }
  });
  list.addEventListener("change", () => {
    held = true;
    show(Number(list.value), true);
  });

  $("map-name").replaceChildren(...Object.keys(data.maps).reverse().map((name) => el("option", {}, name)));
  $("map-name").addEventListener("change", lay);
  $("map-colour").addEventListener("change", legend);
  $("map-wrong").addEventListener("change", filter);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // The first layout: the observer reports it too, after the page is drawn.
  lay();
  legend();
  new ResizeObserver(lay).observe(canvas);
})();
