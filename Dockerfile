# The producer and the simulator in one image:  docker build -t coinbase-producer .
# Packages come from npm alone, at build time; at run time none is asked for.
FROM denoland/deno:2.9.6
WORKDIR /app

# Behind a proxy that reads along:  --build-arg HTTPS_PROXY --build-arg CA_CERTIFICATE="$(cat its-ca.pem)"
# (`deno task stack` takes it from the file that DENO_CERT names). A mirror of npm:  --build-arg NPM_CONFIG_REGISTRY=https://...
ARG CA_CERTIFICATE=""
ARG NPM_CONFIG_REGISTRY=""
# kept, since Deno looks for a package under the name of the registry that it came from
ENV NPM_CONFIG_REGISTRY=$NPM_CONFIG_REGISTRY

# std/ holds the packages that `links` in deno.json puts in the place of jsr:@std/*
COPY deno.json deno.lock ./
COPY std/ std/
COPY main.ts ./
COPY src/ src/
# Deno fetches every package that deno.json and deno.lock name. First both lose those that only the page's bundle and the
# tests import; the versions of the others stay those of deno.lock.
RUN if [ -n "$CA_CERTIFICATE" ]; then printf '%s\n' "$CA_CERTIFICATE" > ca.pem && export DENO_CERT=ca.pem; fi \
  && deno remove --frozen=false --lockfile-only axe-core lightweight-charts playwright-core \
  && deno install --frozen --entrypoint main.ts && rm -f ca.pem

# a checkout made for one user's eyes only would be unreadable for the next line's
RUN chmod -R go+rX /app
# where CURSOR_FILE may lie; a named volume there takes over its owner
RUN install -d -o 1993 -g 1993 /var/lib/coinbase-producer
# the user deno of the image
USER 1993:1993
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["deno", "eval", "Deno.env.set('NO_PROXY', '127.0.0.1'); Deno.exit((await fetch('http://127.0.0.1:8000/healthz')).ok ? 0 : 1)"]
# the entry point of the image is deno, with an init process before it that passes on TERM
CMD ["run", "--v8-flags=--max-semi-space-size=4,--heap-growing-percent=30", "--cached-only", "--allow-net", "--allow-env", "--allow-read", "--allow-write=/var/lib/coinbase-producer", "main.ts", "start"]
