/// <reference lib="dom" />
/**
 * A headless Chromium for tests and screenshots: found, started, and watched. What a page says on its console, what it throws and
 * whom it asks is kept, so that a test ends with the question whether anything went wrong that it did not look at.
 */

import type { Browser, BrowserContext, BrowserContextOptions, CDPSession, Page } from "playwright-core";
import type {} from "../../src/web/page/main.ts";
import { exists, granted, sleep } from "../servers/process.ts";

/** How long a page may take to reach a state: generous, because the machine may be busy. */
const PATIENCE_MS = 180_000;

/** Where browsers lie that can be driven, the likeliest first. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Whom the browser asks on its own account, whatever page it shows. Nobody's page has business there. */
const ITS_OWN =
  /^[A-Z]+ (?:https?:\/\/)?(?:update\.googleapis|accounts\.google|clients\d?\.google|clientservices\.googleapis|android\.clients\.google|optimizationguide-pa\.googleapis|content-autofill\.googleapis|safebrowsing\.googleapis|[\w.-]+\.gvt1)\.com[:/]/;

/** The program of the browser: `CHROMIUM` where that is set (empty: none); undefined when there is none. */
export function chromiumPath(): string | undefined {
  const chosen = Deno.env.get("CHROMIUM");
  return chosen === "" ? undefined : chosen ?? PLACES.find(exists);
}

/** Why no browser can be driven here, in one sentence with the command that helps; undefined when it can. Never prompts. */
export function chromiumMissing(): string | undefined {
  if (Deno.build.os === "windows") return "the browser tests need Linux or macOS";
  const wanted = (["run", "env", "net", "read", "write", "sys"] as const).find((name) => !granted({ name }));
  if (wanted !== undefined) return `the browser tests need --allow-${wanted}: run them by deno task test`;
  if (chromiumPath() !== undefined) return undefined;
  return "the browser tests need Chromium: run sh tests/servers/install.sh chromium, or set CHROMIUM to its path";
}

/**
 * Loads the driver only when it is needed, because it cannot be loaded without permissions. It reads /proc to detect Windows'
 * Linux, which needs `-A`; its own switch for tests turns that off. The variable stays set, because the environment belongs to
 * the process and other test files may load the driver at the same time.
 */
async function driver(): Promise<typeof import("playwright-core")> {
  Deno.env.set("__IS_WSL_TEST__", "1");
  return await import("playwright-core");
}

/** A browser that reaches this machine and nothing else; disposing ends it. */
export class Chromium implements AsyncDisposable {
  readonly #browser: Browser;
  readonly #proxy: Deno.TcpListener;
  readonly #refusing: Promise<void>;
  readonly #foreign: string[] = [];
  readonly #workerErrors: string[] = [];
  #cdp: CDPSession | undefined;

  private constructor(browser: Browser, proxy: Deno.TcpListener) {
    this.#browser = browser;
    this.#proxy = proxy;
    this.#refusing = this.#refuse();
  }

  /** Starts it; 0.3 s. */
  static async start(): Promise<Chromium> {
    const { chromium } = await driver();
    // whatever does not go to this machine goes to a proxy that notes and refuses it, whoever asked: page, worker or browser
    const proxy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    try {
      const browser = await chromium.launch({
        executablePath: chromiumPath() ?? "",
        // scroll bars take room, as they do for most people
        ignoreDefaultArgs: ["--hide-scrollbars"],
        args: [`--proxy-server=http://127.0.0.1:${proxy.addr.port}`, "--font-render-hinting=none"],
        // as root it would not start with one; the pages are our own
        chromiumSandbox: false,
      });
      const started = new Chromium(browser, proxy);
      await started.#watchWorkers();
      return started;
    } catch (error) {
      proxy.close();
      throw error;
    }
  }

  /** `153.0.7204.92` */
  get version(): string {
    return this.#browser.version();
  }

  /** Requests to other machines, by anybody in this browser. */
  get foreign(): readonly string[] {
    return this.#foreign;
  }

  /** What shared workers threw or complained of. */
  get workerErrors(): readonly string[] {
    return this.#workerErrors;
  }

  /** A window of a new person: no storage, no worker shared with others. */
  async open(options: BrowserContextOptions = {}): Promise<Visitor> {
    return new Visitor(
      await this.#browser.newContext({
        viewport: { width: 1280, height: 800 },
        locale: "en-US",
        timezoneId: "Europe/Berlin",
        ...options,
      }),
    );
  }

  /** The addresses of the shared workers that run now. */
  async sharedWorkers(): Promise<string[]> {
    const { targetInfos } = await this.#session().send("Target.getTargets");
    return targetInfos.filter(({ type }) => type === "shared_worker").map(({ url }) => url);
  }

  /** Its processes with the CPU seconds that each has used: `renderer` runs the page, `GPU` paints it. */
  async processes(): Promise<{ type: string; id: number; cpuTime: number }[]> {
    return (await this.#session().send("SystemInfo.getProcessInfo")).processInfo;
  }

  /** The protocol below the driver, of the whole browser. */
  #session(): CDPSession {
    if (this.#cdp === undefined) throw new TypeError("The browser is not watched yet");
    return this.#cdp;
  }

  /** The driver does not know shared workers: it would hide what goes wrong in them. */
  async #watchWorkers(): Promise<void> {
    const cdp = this.#cdp = await this.#browser.newBrowserCDPSession();
    const seen = new Set<string>();
    cdp.on("Target.targetCreated", ({ targetInfo: { type, targetId } }) => {
      if (type !== "shared_worker" || seen.has(targetId)) return;
      seen.add(targetId);
      void this.#watchWorker(cdp, targetId).catch(() => {});
    });
    cdp.on("Target.receivedMessageFromTarget", ({ sessionId, message }) => {
      const { method, params } = JSON.parse(message);
      // after a reload of its only page a worker starts anew under the same watch, and waits as well
      if (method === "Inspector.targetReloadedAfterCrash") void this.#watchSession(cdp, sessionId);
      if (method === "Runtime.exceptionThrown") {
        const { text, exception } = params.exceptionDetails;
        this.#workerErrors.push(exception?.description ?? text);
      }
      if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
        this.#workerErrors.push(
          params.args.map((arg: { value?: unknown; description?: string }) => arg.value ?? arg.description).join(" "),
        );
      }
    });
    await cdp.send("Target.setDiscoverTargets", { discover: true });
  }

  async #watchWorker(cdp: CDPSession, targetId: string): Promise<void> {
    const { sessionId } = await cdp.send("Target.attachToTarget", { targetId, flatten: false });
    await this.#watchSession(cdp, sessionId);
  }

  async #watchSession(cdp: CDPSession, sessionId: string): Promise<void> {
    // one that is only just starting waits until it is told to go on
    for (const [id, method] of ["Runtime.enable", "Runtime.runIfWaitingForDebugger"].entries()) {
      const message = JSON.stringify({ id, method });
      // a worker that is gone again cannot be watched, and said nothing
      await cdp.send("Target.sendMessageToTarget", { sessionId, message }).catch(() => {});
    }
  }

  /** Takes each connection, notes its first line, hangs up. */
  async #refuse(): Promise<void> {
    for await (const conn of this.#proxy) {
      const bytes = new Uint8Array(500);
      const length = await conn.read(bytes).catch(() => null);
      const line = new TextDecoder().decode(bytes.subarray(0, length ?? 0)).split("\r\n")[0] ?? "";
      // one that says nothing was opened in advance
      if (line !== "" && !ITS_OWN.test(line)) this.#foreign.push(line);
      conn.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    this.#proxy.close();
    await this.#refusing;
  }
}

/** One person with one or several tabs; disposing closes them. */
export class Visitor implements AsyncDisposable {
  /** The driver's own. */
  readonly context: BrowserContext;

  /** Has no tab yet. */
  constructor(context: BrowserContext) {
    this.context = context;
    context.setDefaultTimeout(PATIENCE_MS);
  }

  /** Opens a tab at this address. */
  async visit(url: string): Promise<Tab> {
    const tab = new Tab(await this.context.newPage(), new URL(url).origin);
    try {
      await tab.page.goto(url);
      return tab;
    } catch (error) {
      if (this.context.browser()?.isConnected() !== true) {
        throw new Error("The browser has ended: it crashed, or somebody killed it", { cause: error });
      }
      // seen twice in some hundred visits, on a machine where 5 to 17 programs waited for each core: the browser closed a tab
      // that was still empty. A server that does not answer, or hangs up, has other words.
      if (!(error instanceof Error && error.message.includes("net::ERR_ABORTED"))) throw error;
    }
    const other = new Tab(await this.context.newPage(), new URL(url).origin);
    await other.page.goto(url);
    return other;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
  }
}

/** One page, watched from before its first request on. */
export class Tab {
  /** The driver's own. */
  readonly page: Page;
  /** Errors and warnings on the console, uncaught errors, requests that were refused. */
  readonly troubles: string[] = [];
  /** Addresses that it asked for, in order; those of shared workers are not among them. */
  readonly requests: string[] = [];
  /** Of those, the ones that are not of its own origin. */
  readonly foreign: string[] = [];

  /** Watches the page, which should not have gone anywhere yet. */
  constructor(page: Page, origin: string) {
    this.page = page;
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      this.troubles.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.troubles.push(`thrown: ${error.stack ?? error.message}`));
    page.on("crash", () => this.troubles.push("the page crashed"));
    page.on("response", (response) => {
      if (response.status() >= 400) this.troubles.push(`${response.status()}: ${response.url()}`);
    });
    page.on("request", (request) => {
      const url = request.url();
      this.requests.push(url);
      if (!url.startsWith("data:") && !url.startsWith("blob:") && new URL(url).origin !== origin) {
        this.foreign.push(url);
      }
    });
  }

  /**
   * Waits until what this function gives in the page is true; functions of the page see nothing of the test but `arg`. Fails with a
   * picture of the page and what it said.
   */
  async until<A>(what: string, condition: (arg: A) => unknown, arg: A, ms?: number): Promise<void>;
  async until(what: string, condition: () => unknown, arg?: undefined, ms?: number): Promise<void>;
  async until<A>(what: string, condition: (arg: A) => unknown, arg: A, ms = PATIENCE_MS): Promise<void> {
    const deadline = performance.now() + ms;
    let last: unknown;
    while (true) {
      try {
        last = await this.page.evaluate(condition as (arg: unknown) => unknown, arg);
        if (last === true) return;
      } catch (error) {
        // it is being loaded, or not what it was before
        last = error instanceof Error ? error.message.split("\n")[0] : error;
      }
      if (performance.now() > deadline) break;
      await sleep(30);
    }
    const picture = await Deno.makeTempFile({ prefix: "page-", suffix: ".png" });
    await this.page.screenshot({ path: picture }).catch(() => {});
    const text = await this.page.evaluate(() => document.body.innerText).catch(() => "");
    throw new Error(
      `Waited ${ms} ms in vain until ${what}: it was ${JSON.stringify(last)}; ${picture}\n` +
        `${this.troubles.join("\n")}\n${text.slice(0, 2000)}`,
    );
  }

  /** Takes out, and returns, the troubles that a test expects: the complaints while a server is away. */
  forgive(expected: RegExp): string[] {
    const forgiven = this.troubles.filter((each) => expected.test(each));
    const rest = this.troubles.filter((each) => !expected.test(each));
    this.troubles.splice(0, Infinity, ...rest);
    return forgiven;
  }
}
