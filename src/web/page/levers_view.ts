/// <reference lib="dom" />
// The panel of the demo's levers: a button or switch for each, what it teaches and what to watch.

import { make, setText } from "./dom.ts";
import type { WireLever } from "./wire.ts";

/** What the panel is built from. */
export interface LeversOptions {
  /** The element that gets the levers. */
  readonly list: HTMLElement;
  /** Where the result of a lever is shown. */
  readonly told: HTMLElement;
  /** Fetches all levers. */
  readonly load: () => Promise<readonly WireLever[]>;
  /** Pulls one; `on`: the new state of a switch. */
  readonly pull: (name: string, on: boolean | undefined) => Promise<unknown>;
  /** An error in words; throws it again if it is a bug. */
  readonly trouble: (error: unknown) => string;
}

/** How long a button shows that it was pulled, ms. */
const DONE_MS = 3000;

/** The panel beside the chart. */
export class LeversView {
  readonly #options: LeversOptions;
  readonly #buttons = new Map<string, HTMLButtonElement>();

  /** Empty until it is loaded. */
  constructor(options: LeversOptions) {
    this.#options = options;
  }

  /** Fetches the state of the levers again, because another tab may have pulled one. */
  async load(): Promise<void> {
    const { told, load, trouble } = this.#options;
    try {
      this.#draw(await load());
    } catch (error) {
      setText(told, `Cannot load the levers: ${trouble(error)}`);
    }
  }

  #draw(levers: readonly WireLever[]): void {
    const names = levers.map(({ name }) => name);
    if (names.join() !== [...this.#buttons.keys()].join()) {
      this.#buttons.clear();
      const elements = levers.map((lever) => this.#lever(lever));
      this.#options.list.replaceChildren(...elements);
      elements[0]?.classList.add("told");
    }
    for (const { name, kind, on } of levers) {
      if (kind === "switch") this.#buttons.get(name)?.setAttribute("aria-checked", String(on ?? false));
    }
  }

  #lever({ name, title, teaches, watch, kind }: WireLever): HTMLElement {
    const button = make("button", `lever-button ${kind}`, make("span", "", title));
    button.type = "button";
    button.dataset["lever"] = name;
    if (kind === "switch") {
      button.setAttribute("role", "switch");
      button.setAttribute("aria-checked", "false");
    }
    const words = make(
      "div",
      "lever-words",
      make("p", "lever-name", title),
      make("p", "", teaches),
      make("p", "lever-watch", make("b", "", "Watch: "), watch),
    );
    words.id = `lever-${name}`;
    button.setAttribute("aria-describedby", words.id);
    button.addEventListener("click", () => this.#pull(button, { name, title, kind }));
    this.#buttons.set(name, button);
    const element = make("li", "lever", button, words);
    // on a small screen only the words of one lever are visible
    const tell = () => {
      for (const other of this.#options.list.children) other.classList.toggle("told", other === element);
    };
    button.addEventListener("pointerenter", tell);
    button.addEventListener("focus", tell);
    return element;
  }

  async #pull(button: HTMLButtonElement, { name, title, kind }: Pick<WireLever, "name" | "title" | "kind">) {
    const { told, pull, trouble } = this.#options;
    const on = kind === "switch" ? button.getAttribute("aria-checked") !== "true" : undefined;
    // "disabled" would take the focus away
    button.setAttribute("aria-busy", "true");
    try {
      await pull(name, on);
      if (on === undefined) {
        button.classList.add("done");
        setTimeout(() => button.classList.remove("done"), DONE_MS);
      } else button.setAttribute("aria-checked", String(on));
      setText(told, on === undefined ? `Done: ${title}` : `${title}: ${on ? "on" : "off"}`);
    } catch (error) {
      setText(told, `${title} did not work: ${trouble(error)}`);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }
}
