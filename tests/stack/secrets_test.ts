import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  fillSecrets,
  makeSecrets,
  problemsInSecrets,
  randomSecret,
  readSecrets,
  SECRET_FILES,
  valueIn,
} from "../../src/stack/secrets.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { binary, binaryMissing } from "../servers/process.ts";
import { programsMissing, testUnless } from "./needs.ts";

Deno.test("fillSecrets() replaces each change-me by another secret, and nothing else", () => {
  let count = 0;
  const example = "# A=change-me\nA=change-me\nB=kept\nC_1=change-me-token\n  D=change-me\nE=x change-me\n";
  assertEquals(
    fillSecrets(example, () => `s${++count}`),
    "# A=change-me\nA=s1\nB=kept\nC_1=s2\n  D=change-me\nE=x change-me\n",
  );
});

Deno.test("randomSecret() has letters that need no quotes, and fits InfluxDB's 72", () => {
  const secrets = Array.from({ length: 100 }, randomSecret);
  for (const secret of secrets) assertMatch(secret, /^[A-Za-z0-9_-]{32}$/);
  assertEquals(new Set(secrets).size, secrets.length);
});

Deno.test("valueIn() finds the last value, without quotes", () => {
  const text = "# A=0\nA=1\r\nA='2 x'\nAB=3\nC=\"4\"\nD=\n";
  assertEquals(["A", "AB", "C", "D", "B"].map((name) => valueIn(text, name)), ["2 x", "3", "4", "", undefined]);
});

testUnless(
  programsMissing(),
  "makeSecrets() creates missing files, readable only by their owner, and changes nothing",
  async () => {
    const dir = await Deno.makeTempDir();
    try {
      for (const { name } of SECRET_FILES) await Deno.copyFile(`${name}-example`, `${dir}/${name}-example`);
      assertEquals((await makeSecrets(dir)).map(({ name }) => name), ["influxv2.env", "grafana.env"]);
      const files = ["influxv2.env", "grafana.env"].map((name) => `${dir}/${name}`);
      const texts = await Promise.all(files.map((file) => Deno.readTextFile(file)));
      for (const file of files) assertEquals(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
      const values = [
        valueIn(texts[0] ?? "", "DOCKER_INFLUXDB_INIT_PASSWORD"),
        valueIn(texts[0] ?? "", "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"),
        valueIn(texts[1] ?? "", "GF_SECURITY_ADMIN_PASSWORD"),
      ];
      for (const value of values) assertMatch(value ?? "", /^[A-Za-z0-9_-]{32}$/);
      assertEquals(new Set(values).size, 3);
      assert(!texts.join("").replace(/^#.*$/gm, "").includes("change-me"));

      assertEquals(await makeSecrets(dir), []);
      assertEquals(await Promise.all(files.map((file) => Deno.readTextFile(file))), texts);
      await Deno.remove(`${dir}/grafana.env`);
      assertEquals((await makeSecrets(dir)).map(({ name }) => name), ["grafana.env"]);
      assertEquals(await Deno.readTextFile(`${dir}/influxv2.env`), texts[0]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

const PLAIN = [
  "word",
  "'pa$word'",
  "abc#def",
  '"abc#def"',
  "'abc #def'",
  "word # a comment",
  '"two words" # a comment',
  "a=b",
];
const CHANGED = ["pa$word", '"pa$word"', "pa${word}", "pa$$word", "abc #def"];

Deno.test("problemsInSecrets() names each value that Compose would change, and what to do", () => {
  assertEquals(problemsInSecrets(PLAIN.map((value, i) => `A${i}=${value}\n# B=$x\n`).join(""), "a.env"), []);
  const problems = problemsInSecrets(CHANGED.map((value, i) => `A${i}=${value}\n`).join(""), "a.env");
  assertEquals(problems.length, CHANGED.length);
  assertEquals(
    problems[0],
    'Cannot use A0 in a.env: Compose replaces what begins with "$". Put the whole value in single quotes',
  );
});

testUnless(
  binaryMissing("Compose", "compose-check") ?? programsMissing(binary("compose-check")),
  "valueIn() reads what Compose reads, and what Compose changes is refused",
  async () => {
    const dir = await Deno.makeTempDir();
    try {
      const values = [...PLAIN, ...CHANGED];
      const text = values.map((value, i) => `A${i}=${value}\n`).join("");
      await Deno.writeTextFile(`${dir}/a.env`, text);
      await Deno.writeTextFile(`${dir}/a.yml`, "services: {a: {image: a, env_file: a.env}}\n");
      const { stdout, stderr } = await new Deno.Command(binary("compose-check"), { args: ["a.yml"], cwd: dir })
        .output();
      const { environment } = JSON.parse(new TextDecoder().decode(stdout) || "{}").services?.a ?? {};
      assert(environment !== undefined, new TextDecoder().decode(stderr));
      assertEquals(PLAIN.map((_, i) => valueIn(text, `A${i}`)), PLAIN.map((_, i) => environment[`A${i}`]));
      // each of these would be another password than the one that was written
      for (const [i, value] of values.entries()) {
        if (CHANGED.includes(value)) assert(environment[`A${i}`] !== value.replaceAll('"', ""), value);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

testUnless(
  programsMissing(),
  "readSecrets() refuses a file that is not UTF-8, or that Compose reads differently",
  async () => {
    const dir = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${dir}/grafana.env`, "GF_SECURITY_ADMIN_PASSWORD=pa$word\n");
      await Deno.writeFile(`${dir}/influxv2.env`, Uint8Array.of(0xff, 0xfe, 0x41, 0));
      await assertRejects(() => readSecrets(dir), ConfigError, "Cannot read influxv2.env: ");
      await Deno.writeTextFile(`${dir}/influxv2.env`, "\uFEFFA=1\n");
      await assertRejects(() => readSecrets(dir), ConfigError, "Cannot use GF_SECURITY_ADMIN_PASSWORD in grafana.env");
      await Deno.writeTextFile(`${dir}/grafana.env`, "GF_SECURITY_ADMIN_PASSWORD='pa$word'\n");
      assertEquals((await readSecrets(dir))["influxv2.env"], "A=1\n");
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);
