# syntax=docker/dockerfile:1
# Two stages: compile with everything, ship with the runtime dependencies only. Runs as a user without rights on a read-only root.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY src ./src
COPY generated ./generated
RUN node scripts/build.mjs && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="zone-egress" \
      org.opencontainers.image.description="Zone Egress for Kuma and Kong Mesh" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/zone-egress
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/dist ./dist
COPY --from=build /src/generated ./generated
COPY --from=build /src/src/bin.mjs ./src/bin.mjs
# glibc gives each thread a heap of its own, up to eight for each core, and keeps what is free in it: two are enough, and hold some 40 MB less.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
USER 5678:5678
EXPOSE 10002 9902
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9902/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# node itself is PID 1: it gets the signals, and it starts no other process that would have to be reaped.
# The young space of the thread that carries the sessions cannot be bounded once it runs (docs/decisions/garbage.md).
ENTRYPOINT ["node", "--max-semi-space-size=4", "dist/src/main.js"]
CMD ["run", "--resources", "/etc/zone-egress"]
