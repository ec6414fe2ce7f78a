// Where settings come from: the environment, and a file .env beside it.

import { parse } from "@std/dotenv";
import { ConfigError, reasonOf } from "../core/errors.ts";
import { type Environment, problemsInDotEnv } from "./config.ts";
import { readTextFileSync } from "./text_file.ts";

/** The environment before `.env` of the current folder. Throws a ConfigError where that cannot be used. */
export function readEnvironment(): Environment {
  const own = Deno.env.toObject();
  let file = {};
  try {
    const text = readTextFileSync(".env");
    const problems = problemsInDotEnv(text, own);
    if (problems.length > 0) throw new ConfigError(problems);
    file = parse(text);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new ConfigError([
        `Cannot read .env as it must be a readable file: ${reasonOf(error)}`,
      ]);
    }
  }
  return { values: { ...file, ...own }, readFile: readTextFileSync };
}
