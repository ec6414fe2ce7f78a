/// <reference lib="dom" />
// Draws the pipeline and the table of its numbers.

import { make, setAttribute, setText } from "./dom.ts";
import { countText, rateText } from "./format.ts";
import type { NumberGroup, PipelinePicture, Stage } from "./pipeline.ts";

/** Draws the stages and the flow between them. The elements are made anew only if there are other sinks than before. */
export function drawPipeline(element: HTMLElement, { common, branches }: PipelinePicture): void {
  const stages = [...common, ...branches.flat()];
  const shape = stages.map(({ id }) => id).join();
  if (element.dataset["shape"] !== shape) {
    element.dataset["shape"] = shape;
    const branchItems = branches.map((branch) => make("li", "branch", make("ol", "", ...branch.map(stageItem))));
    const fork = make("li", "fork", make("ol", "branches", ...branchItems));
    element.replaceChildren(make("ol", "stages", ...common.map(stageItem), fork));
  }
  for (const [i, item] of element.querySelectorAll(".stage").entries()) {
    const stage = stages[i];
    if (stage !== undefined) drawStage(item, stage);
  }
}

function stageItem({ id, fill }: Stage): HTMLElement {
  const flow = make("span", "flow", make("i"), make("i"), make("i"));
  flow.ariaHidden = "true";
  const box = make("div", "box", make("span", "stage-title"), make("span", "stage-text"));
  if (fill !== undefined) {
    const bar = make("span", "fill", make("span"));
    bar.ariaHidden = "true";
    box.append(bar);
  }
  box.append(make("span", "stage-note"));
  return make("li", `stage stage-${id.split(":")[0]}`, flow, box);
}

function drawStage(item: Element, { title, text, note, level, rate, fill = 0 }: Stage): void {
  setAttribute(item, "data-level", level);
  for (const [name, value] of Object.entries({ title, text, note })) {
    const element = item.querySelector(`.stage-${name}`);
    if (element !== null) setText(element, value);
  }
  const noteElement = item.querySelector(".stage-note");
  if (noteElement !== null) setAttribute(noteElement, "title", note === "" ? undefined : note);
  const bar = item.querySelector<HTMLElement>(".fill span");
  // a queue that holds anything at all shows a little
  if (bar !== null) bar.style.transform = `scaleX(${fill === 0 ? 0 : Math.min(1, Math.max(0.02, fill)).toFixed(3)})`;
  const flow = item.querySelector(".flow");
  if (flow !== null) setAttribute(flow, "data-flow", rate <= 0 ? "none" : rate < 20 ? "some" : "much");
}

/** Draws the numbers. The tables are made anew only if there are other rows than before. */
export function drawNumbers(element: HTMLElement, groups: readonly NumberGroup[]): void {
  const rows = groups.flatMap(({ rows }) => rows);
  const shape = groups.map(({ title, rows }) => [title, ...rows.map((row) => row.title)]).join();
  if (element.dataset["shape"] !== shape) {
    element.dataset["shape"] = shape;
    element.replaceChildren(...groups.map(table));
  }
  for (const [i, row] of element.querySelectorAll("tr").entries()) {
    const [, count, rate] = row.children;
    const number = rows[i];
    if (count === undefined || rate === undefined || number === undefined) continue;
    setText(count, countText(number.count));
    setText(rate, number.rate === undefined ? "" : rateText(number.rate));
    setAttribute(count, "data-trouble", number.isTrouble && number.count > 0 ? "yes" : undefined);
  }
}

function table({ title, rows }: NumberGroup): HTMLElement {
  const items = rows.map(({ title, meaning }) => {
    const head = make("th", "", title);
    head.scope = "row";
    if (meaning !== "") head.append(make("small", "", meaning));
    return make("tr", "", head, make("td"), make("td"));
  });
  return make("table", "", make("caption", "", title), make("tbody", "", ...items));
}
