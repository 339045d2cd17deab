"use strict";

/*
 * The rows of a scan as columns of small numbers, a million of them in some sixty megabytes. They
 * come packed by report/gallery_rows.py, all at once or some at a time; a row is known by its number.
 */

/** Return the bytes that were compressed and written in base64. */
async function unpacked(text) {
  const bytes = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

class Rows {
  static #TYPES = { 1: Int8Array, 2: Int16Array, 4: Int32Array };

  static #FIRST = new Set(["folder", "status", "verdict", "kind", "reason", "score", "face"]);

  count = 0;
  names = [];
  rest = null;
  #columns = {};

  /**
   * Append packed rows, which begin behind those that are there.
   *
   * What tiles and most filters need comes first; `rest` is there when the other columns are.
   */
  async add(packed) {
    const before = this.count;
    const names = Object.keys(packed.columns);
    const [text] = await Promise.all([
      unpacked(packed.names), this.rest, ...names.filter((name) => Rows.#FIRST.has(name)).map((name) => this.#take(packed, name)),
    ]);
    if (packed.first !== before || this.count !== before) return;  // they have come already
    const more = packed.rows ? new TextDecoder().decode(text).split("\0") : [];
    this.names = before ? this.names.concat(more) : more;
    Object.assign(this, {
      order: packed.order, few: packed.few, folders: packed.folders, texts: packed.texts,
      millionths: new Set(packed.millionths), count: before + packed.rows,
    });
    this.rest = Promise.all(names.filter((name) => !Rows.#FIRST.has(name)).map((name) => this.#take(packed, name)));
  }

  async #take(packed, name) {
    const column = packed.columns[name];
    const own = column && new Rows.#TYPES[column.bytes](await unpacked(column.data));
    this.#columns[name] = this.#joined(this.#columns[name] ?? null, own, packed);
  }

  /** Return two parts of a column as one; null stands for rows that have no value. */
  #joined(before, after, { first, rows }) {
    if (!first || (!before && !after)) return after;
    const wide = (before?.BYTES_PER_ELEMENT ?? 1) > (after?.BYTES_PER_ELEMENT ?? 1) ? before : after ?? before;
    const all = new wide.constructor(first + rows).fill(Rows.none(wide));
    for (const [part, start] of [[before, 0], [after, first]]) {
      if (!part) continue;
      all.set(part, start);
      if (part.BYTES_PER_ELEMENT === all.BYTES_PER_ELEMENT) continue;
      const none = Rows.none(part);
      part.forEach((value, at) => { if (value === none) all[start + at] = Rows.none(all); });
    }
    return all;
  }

  /** Return what stands for no value in a column. */
  static none(column) {
    return -(2 ** (8 * column.BYTES_PER_ELEMENT - 1));
  }

  /** Return a column's numbers as they are kept, or null where no row has one. */
  column(name) {
    return this.#columns[name] ?? null;
  }

  /** Return a row's number; null if it has none. Those of `millionths` are in millionths. */
  number(name, row) {
    const column = this.#columns[name];
    if (!column || column[row] === Rows.none(column)) return null;
    return column[row];
  }

  /** Return a row's word in a column of few words; empty if it has none. */
  word(name, row) {
    return this.few[name][this.#columns[name]?.[row] ?? -1] ?? "";
  }

  text(name, row) {
    return this.texts[name][this.#columns[name][row]];
  }

  folder(row) {
    return this.folders[this.#columns.folder[row]];
  }

  path(row) {
    return this.folder(row) + this.names[row];
  }

  /** Return the first and the last of the rows that are about the same file as this one. */
  ofFile(row) {
    const folder = this.#columns.folder;
    const same = (other) => folder[other] === folder[row] && this.names[other] === this.names[row];
    let [first, last] = [row, row];
    while (first > 0 && same(first - 1)) first--;
    while (last + 1 < this.count && same(last + 1)) last++;
    return [first, last];
  }
}
