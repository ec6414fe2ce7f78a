// `deno test` checks the types of a worker when it is first started, which can take longer than a test may wait. Importing this
// module does that before the tests begin.

const file = new URL("../../src/pipeline/socket_worker.ts", import.meta.url);

if (Deno.permissions.querySync({ name: "read", path: file }).state === "granted") {
  const worker = new Worker(file, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  worker.terminate();
}
