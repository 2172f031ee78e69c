# syntax=docker/dockerfile:1
# Three stages: build, collect the packages that run, and an image with nothing else.

FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The workspace is the Node of the developers' npm scripts; the image has its own.
RUN npm ci --workspaces=false --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.mjs

FROM node:26-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --workspaces=false --ignore-scripts --no-audit --no-fund
# onnxruntime-node carries the libraries of every platform: keep this one's.
RUN find node_modules/onnxruntime-node/bin/napi-v6 -mindepth 2 -maxdepth 2 \
      ! -path "*/linux/$(node -p process.arch)" -exec rm -rf {} +

FROM node:26-slim
LABEL org.opencontainers.image.title="infergate" \
      org.opencontainers.image.description="A caching inference gateway: a drop-in reverse proxy that caches, balances and scales model servers." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY config ./config
COPY models ./models
USER node
EXPOSE 8080
STOPSIGNAL SIGTERM
# The admin port stays on the container's loopback, where the health check finds it; set ADMIN when it listens elsewhere.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch((process.env.ADMIN ?? 'http://127.0.0.1:9090') + '/livez', { signal: AbortSignal.timeout(2500) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve"]
