/// <reference lib="dom" />
// The panel of the demo's levers: a button or switch for each, what it teaches and what to watch.

import type { Lever } from "../demo_api.ts";
import { api, messageOf } from "./api.ts";
import { byId, make, setText } from "./dom.ts";
import { leversOf } from "./wire.ts";

/** How long a button shows that it was pulled, ms. */
const DONE_MS = 3000;

const list = byId("lever-list");
const result = byId("lever-result");

/** Loads the levers and draws them; again later, because another window may have pulled one. */
export async function loadLevers(): Promise<void> {
  try {
    drawLevers(leversOf(await api("api/demo")));
  } catch (error) {
    setText(result, `Cannot load the levers: ${messageOf(error)}`);
  }
}

function drawLevers(levers: readonly Lever[]): void {
  const names = levers.map(({ name }) => name).join();
  if (list.dataset["names"] !== names) {
    list.dataset["names"] = names;
    list.replaceChildren(...levers.map(leverItem));
    list.firstElementChild?.classList.add("described");
  }
  for (const [i, { kind, on = false }] of levers.entries()) {
    const button = list.children[i]?.querySelector("button");
    if (kind === "switch" && button) button.ariaChecked = String(on);
  }
}

function leverItem({ name, title, teaches, watch, kind }: Lever): HTMLElement {
  const button = make("button", `lever-button ${kind}`, make("span", "", title));
  button.type = "button";
  button.dataset["lever"] = name;
  if (kind === "switch") button.role = "switch";
  const words = make(
    "div",
    "lever-words",
    make("p", "lever-name", title),
    make("p", "", teaches),
    make("p", "lever-watch", make("b", "", "Watch: "), watch),
  );
  words.id = `lever-${name}`;
  button.setAttribute("aria-describedby", words.id);
  button.addEventListener("click", () => void pull(button, name, title));
  const item = make("li", "lever", button, words);
  // on a small screen only one lever shows its words
  const describe = () => {
    for (const other of list.children) other.classList.toggle("described", other === item);
  };
  button.addEventListener("pointerenter", describe);
  button.addEventListener("focus", describe);
  return item;
}

async function pull(button: HTMLButtonElement, name: string, title: string): Promise<void> {
  const on = button.role === "switch" ? button.ariaChecked !== "true" : undefined;
  // "disabled" would take the focus away
  button.ariaBusy = "true";
  try {
    await api(`api/demo/levers/${encodeURIComponent(name)}`, { body: on === undefined ? {} : { on } });
    if (on === undefined) {
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), DONE_MS);
    } else button.ariaChecked = String(on);
    setText(result, on === undefined ? `Done: ${title}` : `${title}: ${on ? "on" : "off"}`);
  } catch (error) {
    setText(result, `${title} failed: ${messageOf(error)}`);
  } finally {
    button.ariaBusy = null;
  }
}
