# The producer and the simulator in one image:  docker build -t coinbase-producer .
# Packages are downloaded from npm at build time only.
FROM denoland/deno:2.9.6
WORKDIR /app

# Behind a proxy that decrypts TLS:  --build-arg HTTPS_PROXY --build-arg CA_CERTIFICATE="$(cat its-ca.pem)"
# (`deno task stack` uses the file that DENO_CERT names). A mirror of npm:  --build-arg NPM_CONFIG_REGISTRY=https://...
ARG CA_CERTIFICATE=""
ARG NPM_CONFIG_REGISTRY=""
# kept at run time, because Deno stores packages under the name of their registry
ENV NPM_CONFIG_REGISTRY=$NPM_CONFIG_REGISTRY

# std/ contains the packages that replace jsr:@std/* (`links` in deno.json)
COPY deno.json deno.lock ./
COPY std/ std/
COPY main.ts ./
COPY src/ src/
# Deno downloads every package in deno.json and deno.lock, so those that only the page's bundle and the tests import are
# removed first. The versions of the others stay as in deno.lock.
RUN if [ -n "$CA_CERTIFICATE" ]; then printf '%s\n' "$CA_CERTIFICATE" > ca.pem && export DENO_CERT=ca.pem; fi \
  && deno remove --frozen=false --lockfile-only axe-core lightweight-charts playwright-core \
  && deno install --frozen --entrypoint main.ts && rm -f ca.pem

# the user below must be able to read a checkout with restrictive permissions
RUN chmod -R go+rX /app
# for CURSOR_FILE; a named volume here gets the same owner
RUN install -d -o 1993 -g 1993 /var/lib/coinbase-producer
# the user deno of the image
USER 1993:1993
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["deno", "eval", "Deno.env.set('NO_PROXY', '127.0.0.1'); Deno.exit((await fetch('http://127.0.0.1:8000/healthz')).ok ? 0 : 1)"]
# the entry point of the image is deno under an init process, which forwards SIGTERM
CMD ["run", "--v8-flags=--max-semi-space-size=4,--heap-growing-percent=30", "--cached-only", "--allow-net", "--allow-env", "--allow-read", "--allow-write=/var/lib/coinbase-producer", "main.ts", "start"]
