"use strict";

/** Return what the page was handed as data, or null. */
function pageData() {
  const element = document.getElementById("page-data");
  return element && JSON.parse(element.textContent);
}

/** Return a new element. Children that are no elements become text, never markup. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Offer text as a file to keep. */
function download(name, text, type = "text/csv") {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Return a CSV cell; it is quoted as scan does. */
function csvCell(value) {
  const text = value == null ? "" : String(value);
  return /[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return text with ' in front if a spreadsheet would run it: safe_text of core/csv_files.py. */
function safeText(text) {
  return /^'*[=+\-@\t\r\n]/.test(text) && !/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)
    ? `'${text}` : text;
}

/** Return the text that safeText() made a cell of: exact_text of core/csv_files.py. */
function exactText(cell) {
  return /^''*[=+\-@\t\r\n]/.test(cell) ? cell.slice(1) : cell;
}

/** Return a name with ./ in front if a spreadsheet would run it: safe_cell of core/files.py. */
function safeCell(name) {
  return /^[=+\-@\t\r\n]/.test(name) ? `./${name}` : name;
}
