/// <reference lib="dom" />
// The few things that all parts of the page do with its elements.

/** The element of the page with this id and kind. Throws a TypeError where index.html does not have it. */
export function byId<T extends Element>(id: string, kind: new () => T): T {
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

/** Sets a text, where it is another one: what is set anew is laid out anew. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, where it has another value; undefined: takes it away. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** What is remembered from visit to visit; forgotten where the browser does not allow it. */
export const memory = {
  /** What was kept under a name. */
  get(name: string): string | undefined {
    try {
      return localStorage.getItem(name) ?? undefined;
    } catch {
      return undefined;
    }
  },
  /** Keeps it. */
  set(name: string, value: string): void {
    try {
      localStorage.setItem(name, value);
    } catch {
      // then it is as it was at the next visit
    }
  },
};

/** Between two draws, ms: faster nobody reads, and each costs a frame of the whole chart. */
const DRAW_MS = 200;

/**
 * Calls `draw` soon, five times a second at most. From a timer and not in a frame of its own: the chart draws in the next
 * frame, and what is set before shares it.
 */
export function atMostFiveTimes(draw: () => void): () => void {
  let last = -Infinity;
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      last = performance.now();
      draw();
    }, Math.max(0, DRAW_MS - (performance.now() - last)));
  };
}
