// A temporary folder that is removed with the demo, or by a later demo if this one was killed.

import { dirname, join } from "node:path";
import { ConfigError, reasonOf } from "../core/errors.ts";

/** Names of the folders begin with this; the rest is random. */
const PREFIX = "price-feed-demo-";
/** Locked as long as the demo lives: the system releases the lock however the demo ends. */
const LOCK = "running.lock";
/** A folder that is younger may not be locked yet, ms. */
const YOUNG_MS = 60_000;

/** A folder of this process. */
export class DemoFolder implements AsyncDisposable {
  readonly path: string;
  readonly #lock: Deno.FsFile;
  #isRemoved = false;

  private constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Makes a new one, and removes those of demos that no longer run. Throws a ConfigError if none can be made.
   *
   * @param now wall clock, ms
   * @param dir where; default the folder for temporary files
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
      rethrowBug(error);
      const where = dir ?? Deno.env.get("TMPDIR");
      const why = reasonOf(error).replace(/ \(os error.*/s, "");
      throw new ConfigError([
        "Cannot make a folder for the demo's store: expected TMPDIR to be a folder that can be written to, got " +
        `${where === undefined ? "none, which means the system's own" : `"${where}"`} (${why})`,
      ]);
    }
    const parent = dirname(path);
    for await (const { name, isDirectory } of Deno.readDir(parent)) {
      // a folder that cannot be read or removed belongs to someone else
      if (isDirectory && name.startsWith(PREFIX)) await removeIfDead(join(parent, name), now).catch(rethrowBug);
    }
    return new DemoFolder(path, lock);
  }

  /** Removes it with everything in it. A second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    this.#lock.close();
    await Deno.remove(this.path, { recursive: true });
  }
}

async function removeIfDead(path: string, now: number): Promise<void> {
  // a file that the demo does not make belongs to someone else, whatever the folder's name
  for await (const { name } of Deno.readDir(path)) if (name !== LOCK && !name.startsWith("prices.sqlite")) return;
  const { mtime } = await Deno.stat(path);
  if (mtime === null || now - mtime.getTime() < YOUNG_MS) return;
  using lock = await Deno.open(join(path, LOCK), { write: true, create: true });
  if (await lock.tryLock(true)) await Deno.remove(path, { recursive: true });
}

/** Only errors of the file system are expected. */
function rethrowBug(error: unknown): asserts error is Error {
  if (!(error instanceof Error) || error instanceof TypeError) throw error;
}
