// A small HTTP server that answers as Grafana's API documents it (health, data sources, dashboards, /api/ds/query: HTTP
// API reference of Grafana 12): Grafana itself cannot run here. The queries that it is given it asks of the real
// InfluxDB, so what the panels hold is real; that Grafana's own macros do the same is held by tests/dashboards.

import type { InfluxServer } from "../servers/influxdb.ts";
import { interpolate } from "../dashboards/grafana.ts";

/** How it behaves; changed at any time. */
export interface GrafanaState {
  /** Of its own database. */
  database: string;
  /** What the data source's health says; undefined: there is no data source. */
  datasource: { status: string; message: string } | undefined;
  /** Whether it has the dashboard. */
  hasDashboard: boolean;
  /** A panel's query with this text is answered by an error. */
  failing: string | undefined;
  /** All queries find nothing. */
  isEmpty: boolean;
}

/** It runs. */
export interface FakeGrafana extends AsyncDisposable {
  /** Where. */
  readonly url: string;
  /** How it behaves. */
  readonly state: GrafanaState;
}

const PRICES = new URL("../../grafana-provisioning/dashboards/json/prices.json", import.meta.url);

/** The login that it takes. */
export const LOGIN = { user: "admin", password: "a-password-of-grafana" };

/** Starts one in front of this InfluxDB. */
export function startGrafana(influx: InfluxServer): FakeGrafana {
  const state: GrafanaState = {
    database: "ok",
    datasource: { status: "OK", message: "datasource is working. 1 buckets found" },
    hasDashboard: true,
    failing: undefined,
    isEmpty: false,
  };
  const expected = `Basic ${btoa(`${LOGIN.user}:${LOGIN.password}`)}`;
  const json = (body: unknown, status = 200) => Response.json(body, { status });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/api/health") {
      return json(
        { commit: "abc", database: state.database, version: "12.4.12" },
        state.database === "ok" ? 200 : 503,
      );
    }
    if (request.headers.get("authorization") !== expected) {
      return json({ message: "Invalid username or password", messageId: "password-auth.failed", statusCode: 401 }, 401);
    }
    switch (pathname) {
      case "/api/datasources/uid/influxdb":
        return state.datasource === undefined
          ? json({ message: "Data source not found" }, 404)
          : json({ id: 1, uid: "influxdb", name: "InfluxDB", type: "influxdb", access: "proxy" });
      case "/api/datasources/uid/influxdb/health":
        return json(state.datasource, state.datasource?.status === "OK" ? 200 : 400);
      case "/api/dashboards/uid/prices":
        return state.hasDashboard
          ? json({ meta: { slug: "prices" }, dashboard: JSON.parse(await Deno.readTextFile(PRICES)) })
          : json({ message: "Dashboard not found" }, 404);
      case "/api/ds/query":
        return await query(await request.json());
    }
    return json({ message: "Not found" }, 404);
  });

  async function query(
    { from, to, queries }: {
      from: string;
      to: string;
      queries: { refId: string; query: string; maxDataPoints: number; datasource: { uid: string } }[];
    },
  ): Promise<Response> {
    const results: Record<string, unknown> = {};
    for (const { refId, query, maxDataPoints } of queries) {
      if (state.failing !== undefined && query.includes(state.failing)) {
        results[refId] = { error: "unauthorized: unauthorized access", errorSource: "downstream", status: 401 };
        continue;
      }
      // a variable that the page did not put in makes this throw, and the answer is a 500
      const flux = interpolate(query, { from: Number(from), to: Number(to), maxDataPoints }, influx.bucket);
      const rows = state.isEmpty ? [] : await influx.query(flux);
      const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "result" && name !== "table");
      results[refId] = {
        status: 200,
        frames: [{
          schema: { refId, fields: names.map((name) => ({ name })) },
          data: { values: names.map((name) => rows.map((row) => row[name] ?? null)) },
        }],
      };
    }
    return json({ results }, Object.values(results).some((each) => "error" in Object(each)) ? 207 : 200);
  }

  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    state,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
