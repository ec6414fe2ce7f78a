import { assert, assertEquals, assertMatch } from "@std/assert";
import { fillSecrets, makeSecrets, randomSecret, valueIn } from "../../src/stack/secrets.ts";
import { programsMissing, testUnless } from "./needs.ts";

Deno.test("fillSecrets() replaces each change-me by a secret of its own, and nothing else", () => {
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
  "makeSecrets() makes what is missing, for the owner alone, and changes nothing",
  async () => {
    const dir = await Deno.makeTempDir();
    try {
      await Deno.copyFile("influxv2.env-example", `${dir}/influxv2.env-example`);
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
