/**
 * A real InfluxDB 2 for tests, on a free port with its own data: it can be started, killed, paused and queried. Built by
 * install.sh: the server alone, without its web page and command line client.
 */
import { type FluxRow, parseFluxCsv } from "./flux_csv.ts";
import { binary, binaryMissing, folderFor, freePorts, removeNow, RunningServer, ServerProcess } from "./process.ts";

/** All optional. */
export interface InfluxOptions {
  /** Default a free one. */
  readonly port?: number;
  /** Kept at the end, and reused if it holds data. Default: a temporary folder that is removed. */
  readonly dataDir?: string;
  /** Default `test-org`. */
  readonly org?: string;
  /** Default `coinbase-bucket`. */
  readonly bucket?: string;
  /** Has all rights; default a random one. A `dataDir` that holds data needs the token it was set up with. */
  readonly adminToken?: string;
  /** Of the bucket; default 0: data is never deleted. */
  readonly retentionSeconds?: number;
}

/** The rights of a token. */
export interface Rights {
  /** Name of the bucket that it may read. */
  readonly read?: string;
  /** Name of the bucket that it may write to. */
  readonly write?: string;
}

/** A response with an error status. */
export class InfluxError extends Error {
  override name = "InfluxError";
  /** HTTP status. */
  readonly status: number;

  constructor(request: string, status: number, body: string) {
    super(`${request} returned ${status}: ${body.trim().slice(0, 500)}`);
    this.status = status;
  }
}

/** How long a request may take. */
const REQUEST_MS = 60_000;

/** Why InfluxDB cannot run here and how to change that, in one sentence; undefined if it can. Never prompts. */
export function influxMissing(): string | undefined {
  return binaryMissing("InfluxDB", "influxd");
}

/**
 * A server process. Disposing ends the process in any state and removes temporary data.
 * Because of the leak checks of `deno test` it must live within one test: to share it, use steps.
 */
export class InfluxServer extends RunningServer implements AsyncDisposable {
  /** `http://127.0.0.1:PORT`; the same after a restart. */
  readonly url: string;
  /** Contains the data, and `server-N.log` of each start. */
  readonly dataDir: string;
  /** The name of its one organization. */
  readonly org: string;
  /** The bucket it was set up with. */
  readonly bucket: string;
  /** Has all rights. */
  readonly adminToken: string;
  readonly #temporary: boolean;
  /** InfluxDB ignores SIGTERM. */
  protected override readonly stopSignal = "SIGINT";
  protected override readonly process: ServerProcess;
  readonly #unload = () => this.#endNow();

  private constructor(options: InfluxOptions, dataDir: string) {
    super();
    const port = options.port ?? freePorts("http").http;
    this.url = `http://127.0.0.1:${port}`;
    this.dataDir = dataDir;
    this.org = options.org ?? "test-org";
    this.bucket = options.bucket ?? "coinbase-bucket";
    this.adminToken = options.adminToken ?? crypto.randomUUID();
    this.#temporary = options.dataDir === undefined;
    this.process = new ServerProcess({
      name: "InfluxDB",
      command: [binary("influxd")].concat(
        ["--http-bind-address", `127.0.0.1:${port}`, "--reporting-disabled", "--log-level", "warn"],
        ["--bolt-path", `${dataDir}/influxd.bolt`, "--sqlite-path", `${dataDir}/influxd.sqlite`],
        ["--engine-path", `${dataDir}/engine`],
      ),
      dir: dataDir,
      // otherwise it would read a config.json in the current folder
      env: { INFLUXD_CONFIG_PATH: dataDir },
      ready: () => this.#healthy(),
    });
    addEventListener("unload", this.#unload);
  }

  /** Resolves when it is set up and can be used; rejects with its last log lines if it ends before that or needs more than 3 minutes. */
  static async start(options: InfluxOptions = {}): Promise<InfluxServer> {
    const server = new InfluxServer(options, await folderFor("influxdb", options.dataDir));
    try {
      await server.process.start();
      await server.#setUp(options.retentionSeconds ?? 0);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The rows of all tables of the response, in order. Times are text with up to nine digits. */
  async query(flux: string, token: string = this.adminToken): Promise<FluxRow[]> {
    const dialect = { annotations: ["datatype", "default"], header: true, delimiter: "," };
    const path = `/api/v2/query?org=${encodeURIComponent(this.org)}`;
    return parseFluxCsv(await this.#ask("POST", path, JSON.stringify({ query: flux, dialect }), token));
  }

  /** Stores points; times are in nanoseconds. */
  async write(lineProtocol: string, bucket: string = this.bucket, token: string = this.adminToken): Promise<void> {
    const names = new URLSearchParams({ org: this.org, bucket });
    await this.#ask("POST", `/api/v2/write?${names}`, lineProtocol, token);
  }

  /** Resolves when it can be written to. */
  async createBucket(name: string, retentionSeconds = 0): Promise<void> {
    const [{ id }] = (await this.#get("/api/v2/orgs")).orgs as [{ id: string }];
    const retentionRules = retentionSeconds === 0 ? [] : [{ type: "expire", everySeconds: retentionSeconds }];
    await this.#ask("POST", "/api/v2/buckets", JSON.stringify({ orgID: id, name, retentionRules }));
  }

  /** Creates a token with exactly these rights. */
  async createToken(rights: Rights): Promise<string> {
    const permissions = [];
    let orgID: unknown;
    for (const [action, name] of Object.entries(rights)) {
      const { buckets } = await this.#get(`/api/v2/buckets?name=${encodeURIComponent(name)}`);
      const [bucket] = buckets as { id: string; orgID: string }[];
      if (bucket === undefined) throw new RangeError(`No bucket ${name}`);
      orgID = bucket.orgID;
      permissions.push({ action, resource: { type: "buckets", id: bucket.id, orgID } });
    }
    const made = JSON.parse(await this.#ask("POST", "/api/v2/authorizations", JSON.stringify({ orgID, permissions })));
    return made.token;
  }

  /** Deletes a token. */
  async deleteToken(token: string): Promise<void> {
    const { authorizations } = await this.#get("/api/v2/authorizations");
    const found = (authorizations as { id: string; token: string }[]).find((one) => one.token === token);
    if (found === undefined) throw new RangeError("No such token");
    await this.#ask("DELETE", `/api/v2/authorizations/${found.id}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    removeEventListener("unload", this.#unload);
    await this.kill(this.#temporary ? "SIGKILL" : "SIGINT");
    if (this.#temporary) await Deno.remove(this.dataDir, { recursive: true });
  }

  /** For a test process that ends without disposing, when nothing can be awaited any more. */
  #endNow(): void {
    this.process.signal("SIGKILL");
    if (this.#temporary) removeNow(this.dataDir);
  }

  async #healthy(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(2000) });
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }

  async #setUp(retentionSeconds: number): Promise<void> {
    if ((await this.#get("/api/v2/setup")).allowed !== true) return;
    const { org, bucket, adminToken: token } = this;
    const login = { username: "admin", password: "test-password" };
    const wishes = { ...login, org, bucket, token, retentionPeriodSeconds: retentionSeconds };
    await this.#ask("POST", "/api/v2/setup", JSON.stringify(wishes));
  }

  async #get(path: string): Promise<Record<string, unknown>> {
    return JSON.parse(await this.#ask("GET", path));
  }

  async #ask(method: string, path: string, body?: string, token = this.adminToken): Promise<string> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { "Authorization": `Token ${token}`, "Content-Type": "application/json", "Accept": "*/*" },
      signal: AbortSignal.timeout(REQUEST_MS),
      ...body !== undefined && { body },
    });
    const text = await response.text();
    if (!response.ok) throw new InfluxError(`${method} ${path.replace(/\?.*/, "")}`, response.status, text);
    return text;
  }
}
