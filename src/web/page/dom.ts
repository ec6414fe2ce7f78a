/// <reference lib="dom" />
// What all parts of the page do with its elements, and what is remembered between visits.

/** The element of index.html with this id, of this kind. Throws a TypeError if there is none. */
export function byId<T extends HTMLElement = HTMLElement>(id: string, kind: new () => T = HTMLElement as never): T {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new TypeError(`Cannot find the ${kind.name} "${id}" in the page`);
}

/** A new element: its class, and its text or children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

/** Sets a text if it changed: setting it makes the browser lay out the element again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute if its value changed; undefined removes it. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A value from an earlier visit; undefined if there is none, or if the browser does not allow storage. */
export function remembered(name: string): string | undefined {
  try {
    return localStorage.getItem(name) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a value for later visits, if the browser allows it. */
export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // the next visit begins with the default
  }
}

/** Pause between two draws, ms. Faster is not readable, and each draw repaints the whole chart. */
const DRAW_MS = 200;

/**
 * Returns a function that calls `draw` soon, at most five times a second. It uses a timer instead of an animation frame: the
 * chart draws itself in the next frame, and what was set before shares that frame.
 */
export function atMostFiveTimes(draw: () => void): () => void {
  let last = -Infinity;
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(() => {
      isWaiting = false;
      last = performance.now();
      draw();
    }, Math.max(0, DRAW_MS - (performance.now() - last)));
  };
}
