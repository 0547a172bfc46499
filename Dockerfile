# Two images of one build: `slim` (the default, with a shell) and `minimal` (Node, its libraries and the program, nothing else).
# docs/deploy/container.md says how they are built and run, and what is in them. `npm run image` builds, looks and tries.
ARG REGISTRY=docker.io/library
ARG NODE_VERSION=24.22.3

FROM ${REGISTRY}/debian:bookworm-slim AS base

# The Node and the libraries of the image, for its processor. Files of this stage are read and copied; nothing of it runs, so that no emulator is needed.
FROM ${REGISTRY}/node:${NODE_VERSION}-bookworm-slim AS target

FROM --platform=$BUILDPLATFORM ${REGISTRY}/node:${NODE_VERSION}-bookworm-slim AS build
ARG NPM_REGISTRY=https://registry.npmjs.org/
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates binutils-x86-64-linux-gnu binutils-aarch64-linux-gnu && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# The secret `ca` is the authority of a proxy that npm has to trust. It is in no layer.
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca npm_config_cafile=/run/secrets/ca; fi; \
    npm ci --ignore-scripts --no-audit --no-fund --registry "$NPM_REGISTRY"
COPY tsconfig.json tsconfig.build.json LICENSE NOTICE ./
COPY scripts ./scripts
COPY src ./src
COPY generated ./generated
COPY deploy/image ./deploy/image
COPY --from=base /var/lib/dpkg/status /base-packages
RUN --mount=type=bind,from=target,target=/target \
    node scripts/build.mjs && node deploy/image/assemble.ts /out --packages /base-packages --target /target

FROM scratch AS minimal
ARG VERSION=unknown
ARG REVISION=unknown
COPY --from=build /out/system/ /
COPY --from=build /out/node/ /
COPY --from=build /out/minimal/ /
COPY --from=build /out/app/ /
LABEL org.opencontainers.image.title="zone-egress" \
      org.opencontainers.image.description="Zone Egress for Kuma and Kong Mesh, without a shell" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# glibc gives each thread a heap of its own, up to eight for each core, and keeps what is free in it: two are enough, and hold some 40 MB less.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 PATH=/usr/local/bin:/usr/bin
WORKDIR /tmp
USER 5678:5678
EXPOSE 10002 9902
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/zone-egress"]
CMD ["run", "--resources", "/etc/zone-egress"]

FROM base AS slim
ARG VERSION=unknown
ARG REVISION=unknown
COPY --from=build /out/certificates/ /
COPY --from=build /out/node/ /
COPY --from=build /out/slim/ /
COPY --from=build /out/app/ /
LABEL org.opencontainers.image.title="zone-egress" \
      org.opencontainers.image.description="Zone Egress for Kuma and Kong Mesh" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
WORKDIR /tmp
USER 5678:5678
EXPOSE 10002 9902
STOPSIGNAL SIGTERM
# bash asks the readiness port; a Node for each question would cost more than the egress at rest.
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["/opt/zone-egress/bin/health"]
# The kernel starts node for this script, so that node itself is PID 1: it gets the signals, and starts nothing that would have to be reaped.
ENTRYPOINT ["/usr/local/bin/zone-egress"]
CMD ["run", "--resources", "/etc/zone-egress"]
