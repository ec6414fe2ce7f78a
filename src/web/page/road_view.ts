/// <reference lib="dom" />
// Draws the road of a price, and the table of its numbers.

import { make, setAttribute, setText } from "./dom.ts";
import { countText, rateText } from "./format.ts";
import type { NumberGroup, RoadPicture, Stage } from "./road.ts";

interface Box {
  readonly element: HTMLElement;
  readonly title: HTMLElement;
  readonly text: HTMLElement;
  readonly note: HTMLElement;
  readonly fill: HTMLElement | undefined;
  readonly way: HTMLElement;
}

/** The picture: exchange, socket, decode, and for each sink its queue and itself. */
export class RoadView {
  readonly #element: HTMLElement;
  readonly #boxes = new Map<string, Box>();
  #shape = "";

  /**
   * Empty at first.
   * @param element where it is drawn
   */
  constructor(element: HTMLElement) {
    this.#element = element;
  }

  /** Draws it as it is now; `moving`: dots run along it where ticks do. */
  draw(picture: RoadPicture, moving: boolean): void {
    const shape = picture.lanes.map(({ name }) => name).join();
    if (shape !== this.#shape || this.#boxes.size === 0) this.#build(picture);
    this.#shape = shape;
    const stages = [...picture.common, ...picture.lanes.flatMap(({ queue, sink }) => [queue, sink])];
    for (const stage of stages) this.#drawStage(stage, moving);
  }

  #build({ common, lanes }: RoadPicture): void {
    this.#boxes.clear();
    const list = make("ol", "road");
    for (const stage of common) list.append(this.#box(stage));
    const ways = make("ol", "lanes");
    for (const { queue, sink } of lanes) {
      ways.append(make("li", "lane", make("ol", "", this.#box(queue), this.#box(sink))));
    }
    list.append(make("li", "fork", ways));
    this.#element.replaceChildren(list);
  }

  #box(stage: Stage): HTMLElement {
    const title = make("span", "stage-title", stage.title);
    const text = make("span", "stage-text");
    const note = make("span", "stage-note");
    const way = make("span", "way", make("i"), make("i"), make("i"));
    way.setAttribute("aria-hidden", "true");
    const fill = stage.fill === undefined ? undefined : make("span", "fill", make("span"));
    fill?.setAttribute("aria-hidden", "true");
    const element = make(
      "li",
      `stage stage-${stage.id.split(":")[0]}`,
      way,
      make("div", "box", title, text, ...(fill === undefined ? [] : [fill]), note),
    );
    this.#boxes.set(stage.id, { element, title, text, note, fill, way });
    return element;
  }

  #drawStage({ id, title, text, note, level, rate, fill }: Stage, moving: boolean): void {
    const box = this.#boxes.get(id);
    if (box === undefined) return;
    setText(box.title, title);
    setText(box.text, text);
    setText(box.note, note);
    setAttribute(box.element, "data-level", level);
    setAttribute(box.note, "title", note === "" ? undefined : note);
    const bar = box.fill?.firstElementChild;
    if (bar instanceof HTMLElement && fill !== undefined) {
      // a queue that holds anything at all shows a little
      bar.style.transform = `scaleX(${fill === 0 ? 0 : Math.max(0.02, Math.min(1, fill)).toFixed(3)})`;
    }
    setAttribute(box.way, "data-flow", rate <= 0 ? "none" : rate < 20 ? "some" : "much");
    if (moving && rate > 0) {
      for (const dot of box.way.children) {
        for (const animation of dot.getAnimations()) {
          animation.cancel();
          animation.play();
        }
      }
    }
  }
}

/** Draws the table of numbers. */
export class NumbersView {
  readonly #element: HTMLElement;
  readonly #cells = new Map<string, readonly [count: HTMLElement, rate: HTMLElement]>();
  #shape = "";

  /**
   * Empty at first.
   * @param element where it is drawn
   */
  constructor(element: HTMLElement) {
    this.#element = element;
  }

  /** Draws them as they are now. */
  draw(groups: readonly NumberGroup[]): void {
    const shape = groups.map(({ title, rows }) => [title, ...rows.map((row) => row.title)].join()).join(";");
    if (shape !== this.#shape) this.#build(groups);
    this.#shape = shape;
    for (const group of groups) {
      for (const { title, count, rate, isTrouble } of group.rows) {
        const [countCell, rateCell] = this.#cells.get(`${group.title} ${title}`) ?? [];
        if (countCell === undefined || rateCell === undefined) continue;
        setText(countCell, countText(count));
        setText(rateCell, rate === undefined ? "" : rateText(rate));
        setAttribute(countCell, "data-trouble", isTrouble && count > 0 ? "yes" : undefined);
      }
    }
  }

  #build(groups: readonly NumberGroup[]): void {
    this.#cells.clear();
    this.#element.replaceChildren(...groups.map((group) => {
      const body = make("tbody");
      for (const { title, meaning } of group.rows) {
        const head = make("th", "", title);
        head.scope = "row";
        if (meaning !== "") head.append(make("small", "", meaning));
        const count = make("td");
        const rate = make("td");
        this.#cells.set(`${group.title} ${title}`, [count, rate]);
        body.append(make("tr", "", head, count, rate));
      }
      return make("table", "", make("caption", "", group.title), body);
    }));
  }
}
