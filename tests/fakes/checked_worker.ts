// `deno test` checks the types of a worker when it starts for the first time, which can take longer than a test may wait. Who
// imports this has that done before the tests begin.

const file = new URL("../../src/pipeline/socket_worker.ts", import.meta.url);

if (Deno.permissions.querySync({ name: "read", path: file }).state === "granted") {
  const worker = new Worker(file, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  worker.terminate();
}
