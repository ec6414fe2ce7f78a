/** Certificates for tests, made by openssl. The keys are elliptic curves because those are generated quickly. */
import { folderFor, granted } from "./process.ts";

/** A private key (PKCS#8) and its certificate, PEM. */
export interface Pair {
  readonly key: string;
  readonly cert: string;
}

/** The certificate to issue. */
export interface CertificateOptions {
  /** Distinguished name; default `/CN=` and the first name. */
  readonly subject?: string;
  /** As in `subjectAltName`; default `DNS:localhost` and `IP:127.0.0.1`. */
  readonly names?: readonly string[];
  /** It expired yesterday. */
  readonly expired?: boolean;
}

/** Why certificates cannot be made here and how to change that, in one sentence; undefined if they can. Never prompts. */
export function opensslMissing(): string | undefined {
  if (!granted({ name: "run", command: "openssl" })) return "certificates need --allow-run: use deno task test";
  try {
    if (new Deno.Command("openssl", { args: ["version"] }).outputSync().success) return undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return "certificates need openssl: install it";
}

/** A certificate authority. Disposing removes its folder. */
export class Authority implements AsyncDisposable {
  /** Its own certificate, PEM. */
  readonly cert: string;
  /** The file of `cert`. */
  readonly path: string;
  readonly #dir: string;
  #count = 0;

  private constructor(dir: string, cert: string) {
    this.#dir = dir;
    this.path = `${dir}/ca.pem`;
    this.cert = cert;
  }

  /** Creates a new authority. */
  static async make(): Promise<Authority> {
    const dir = await folderFor("authority", undefined);
    await openssl(dir, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key");
    await openssl(
      dir,
      ...["req", "-x509", "-key", "ca.key", "-days", "3650", "-subj", "/CN=test authority", "-out", "ca.pem"],
    );
    return new Authority(dir, await Deno.readTextFile(`${dir}/ca.pem`));
  }

  /** Creates a key and a certificate for it. */
  async issue(options: CertificateOptions = {}): Promise<Pair> {
    const { names = ["DNS:localhost", "IP:127.0.0.1"], expired = false } = options;
    const { subject = `/CN=${names[0]?.replace(/^\w+:/, "") ?? "nobody"}` } = options;
    const dir = this.#dir;
    const own = `${dir}/${++this.#count}`;
    const key = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", `${own}.key`];
    await openssl(dir, ...key);
    await openssl(dir, "req", "-new", "-key", `${own}.key`, "-subj", subject, "-out", `${own}.csr`);
    const lines = ["extendedKeyUsage=serverAuth,clientAuth"];
    if (names.length > 0) lines.push(`subjectAltName=${names.join()}`);
    await Deno.writeTextFile(`${own}.ext`, lines.join("\n"));
    await openssl(
      dir,
      ...["x509", "-req", "-in", `${own}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
      ...["-days", expired ? "-1" : "3650", "-extfile", `${own}.ext`, "-out", `${own}.pem`],
    );
    return { key: await Deno.readTextFile(`${own}.key`), cert: await Deno.readTextFile(`${own}.pem`) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true });
  }
}

async function openssl(cwd: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, cwd }).output();
  if (!success) throw new Error(`openssl ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}
