"use strict";

/*
 * The page of check: the worst of each reason, to be kept, excluded, or given another kind. A
 * decision is about an image; its number in data.images is its row in Decisions.
 */

const data = pageData();
const $ = (id) => document.getElementById(id);
const COLUMNS = [...CORRECTIONS, "excluded"];
const reasons = [...new Set(data.rows.map((row) => row.reason))];

const decisions = new Decisions({
  store: new BrowserStore(data.identity),
  columns: COLUMNS,
  describe: (image) => ({
    path: data.images[image].path, sha256: data.images[image].sha256, face: "", faces: "",
  }),
  changed: (images) => {
    for (const image of images) refresh(image);
    const count = decisions.size;
    $("decided").textContent = count === 1 ? "1 decision" : `${count.toLocaleString("en")} decisions`;
    $("export").disabled = !count;
    $("undo").disabled = !decisions.canUndo;
  },
  failed: (words) => {
    $("trouble").textContent = words;
    $("trouble").hidden = !words;
  },
});

const keep = (image) => ({ verdict: verdictOfKind(data.images[image].kind), kind: data.images[image].kind });
const relabel = (kind) => ({ verdict: verdictOfKind(kind), kind });
/** An excluded image has no verdict that anyone could learn. */
const exclude = (reason) => ({ verdict: "uncertain", kind: "", excluded: reason });

/** Return in a word what was decided of an image. */
function said(image) {
  const own = decisions.get(image);
  if (!own) return "";
  if (own.excluded) return "excluded";
  return own.kind === data.images[image].kind ? "kept" : own.kind;
}

function decide(image, chosen) {
  decisions.decide([image], () => chosen);
}

function thumbnail(image, words) {
  const own = data.images[image];
  return own.src
    ? el("img", { src: own.src, alt: words, title: words, loading: "lazy", width: 192, height: 192 })
    : el("span", { class: "gone" }, "no picture: the file is gone or damaged");
}

function valueText(row) {
  const value = row.value == null ? "" : ` ${Number(row.value.toPrecision(3))} ${row.unit}`;
  return `${value}${row.suggested ? `; perhaps ${row.suggested}` : ""}`;
}

function card(row) {
  const own = data.images[row.image];
  const kinds = el("select", { "aria-label": "another kind", onchange: (event) => {
    if (event.target.value) decide(row.image, relabel(event.target.value));
  } }, el("option", { value: "" }, "other kind"),
  ...data.kinds.filter((kind) => kind !== own.kind).map((kind) => el("option", { value: kind },
    kind === row.suggested ? `${kind} (suggested)` : kind)));
  return el("li", { tabindex: 0, "data-image": row.image, "data-reason": row.reason },
    el("p", {}, el("b", {}, row.reason), el("span", { class: "soft" }, valueText(row))),
    el("a", { href: own.href, title: `${own.folder}/${own.name}`, tabindex: -1 }, thumbnail(row.image, own.name)),
    el("span", { class: "name" }, own.name),
    el("span", {}, el("span", { class: `kind kind-${own.kind}` }, own.kind), ` ${own.source}`),
    row.near.length ? el("div", { class: "near", "aria-label": "neighbours" },
      ...row.near.map((near) => thumbnail(near, `${data.images[near].folder}/${data.images[near].name}`))) : "",
    el("div", { class: "choose" },
      el("button", { type: "button", "data-choice": "kept", onclick: () => decide(row.image, keep(row.image)) }, "Keep"),
      el("button", { type: "button", "data-choice": "excluded", onclick: () => decide(row.image, exclude(row.reason)) }, "Exclude"),
      kinds),
    el("p", { class: "decision", role: "status" }));
}

/** Show on each card of an image what was decided of it. */
function refresh(image) {
  const word = said(image);
  for (const one of document.querySelectorAll(`#list > li[data-image="${image}"]`)) {
    one.querySelector(".decision").textContent = word && `decided: ${word}`;
    for (const button of one.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.choice === word));
    }
    one.querySelector("select").value = word && !["kept", "excluded"].includes(word) ? word : "";
  }
}

function show() {
  const reason = $("reason").value;
  const words = $("search").value.toLowerCase();
  const rows = data.rows.filter((row) => {
    const own = data.images[row.image];
    return row.reason === reason && (!$("open").checked || !decisions.get(row.image)) &&
      (!words || `${own.folder}/${own.name} ${own.source}`.toLowerCase().includes(words));
  });
  $("list").replaceChildren(...rows.map(card));
  for (const row of rows) refresh(row.image);
  $("count").textContent = rows.length === 1 ? "1 image" : `${rows.length.toLocaleString("en")} images`;
}

/** Go from card to card: by one, or by a line of them. */
function move(card, key) {
  const all = [...$("list").children];
  const at = all.indexOf(card);
  const across = Math.max(1, all.findIndex((one) => one.offsetTop > all[0].offsetTop));
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key];
  all[Math.min(Math.max(at + step, 0), all.length - 1)].focus();
}

$("list").addEventListener("keydown", (event) => {
  const own = event.target.closest("li");
  const typing = event.target.matches("select, input") || event.ctrlKey || event.metaKey || event.altKey;
  if (!own || typing) return;
  const image = Number(own.dataset.image);
  const key = event.key.toLowerCase();
  const kind = data.kinds[Number(event.key) - 1];
  if (event.key.startsWith("Arrow")) move(own, event.key);
  else if (kind || "ke".includes(key)) {
    decide(image, kind ? relabel(kind) : key === "k" ? keep(image) : exclude(own.dataset.reason));
    move(own, "ArrowRight");
  } else if (key === "x") decide(image, undefined);
  else if (key === "z") decisions.undo();
  else return;
  event.preventDefault();
});

$("reason").append(...reasons.map((reason) => el("option", {}, reason)));
for (const name of ["reason", "search", "open"]) $(name).addEventListener("input", show);
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("undo").addEventListener("click", () => decisions.undo());
$("export").addEventListener("click", () => download("corrections.csv", decisions.csv()));
show();
decisions.load();
