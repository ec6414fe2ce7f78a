// A temporary folder that goes with the demo, or with a later demo where this one was killed.

import { dirname, join } from "node:path";
import { ConfigError, reasonOf } from "../core/errors.ts";

/** Folders begin with this; what follows is chance. */
const PREFIX = "price-feed-demo-";
/** Held as long as the demo lives: the system lets go of it however the demo ends. */
const LOCK = "running.lock";
/** One that is younger may be in the making, and not yet locked, ms. */
const YOUNG_MS = 60_000;

/** A folder of our own. */
export class DemoFolder implements AsyncDisposable {
  /** Where it is. */
  readonly path: string;
  readonly #lock: Deno.FsFile;
  #isGone = false;

  private constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Makes a new one, and removes those of demos that are no more. Throws a ConfigError where none can be made.
   *
   * @param now wall clock, ms
   * @param dir where; default where temporary files belong
   */
  static async make(now: number, dir?: string): Promise<DemoFolder> {
    let path: string | undefined;
    let lock: Deno.FsFile;
    try {
      path = await Deno.makeTempDir({ ...(dir === undefined ? {} : { dir }), prefix: PREFIX });
      lock = await Deno.open(join(path, LOCK), { write: true, createNew: true });
      await lock.lock(true);
    } catch (error) {
      if (path !== undefined) await Deno.remove(path, { recursive: true }).catch(() => {});
      if (!(error instanceof Error) || error instanceof TypeError) throw error;
      const where = dir ?? Deno.env.get("TMPDIR");
      const why = reasonOf(error).replace(/ \(os error.*/s, "");
      throw new ConfigError([
        "Cannot make a folder for the demo's store as TMPDIR must be a folder that can be written to: current value is " +
        `${where === undefined ? "none, which means the system's own" : `"${where}"`} (${why})`,
      ]);
    }
    await removeLeftovers(dirname(path), now);
    return new DemoFolder(path, lock);
  }

  /** Removes it with all that is in it. A second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#lock.close();
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Whatever cannot be read or removed is somebody else's, and stays. */
async function removeLeftovers(dir: string, now: number): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory && name.startsWith(PREFIX)) await removeIfDead(join(dir, name), now).catch(onlyFileErrors);
  }
}

async function removeIfDead(path: string, now: number): Promise<void> {
  // what the demo would not make is somebody's own, whatever its name
  for await (const { name } of Deno.readDir(path)) if (name !== LOCK && !name.startsWith("prices.sqlite")) return;
  const { mtime } = await Deno.stat(path);
  if (mtime === null || now - mtime.getTime() < YOUNG_MS) return;
  // one without a lock was never finished
  const lock = await Deno.open(join(path, LOCK), { write: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  try {
    if (lock === undefined || await lock.tryLock(true)) await Deno.remove(path, { recursive: true });
  } finally {
    lock?.close();
  }
}

function onlyFileErrors(error: unknown): void {
  if (!(error instanceof Error) || error instanceof TypeError) throw error;
}
